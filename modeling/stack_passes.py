"""Passes of decoder stacks over a sequence whose first part, the prefix, never sees what follows it, the suffix.

The prefix runs once and leaves the keys and values of its layers; a suffix runs over them as often as one likes, which
is how an expert denoises actions. The layers are stock ones of transformers; masks, rotary embeddings and the cache are
values that a caller makes (`masking.py`) and passes down.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from .cache_names import cache_argument
from .decoder_layer_pass import PassInputs, Rotary, is_stock, pass_inputs, quick_layer

LAYERS_CACHE = cache_argument(LlamaDecoderLayer.forward)  # and so it is in those of Mistral and Qwen3-VL
SuffixInputs = tuple[torch.Tensor | None, Rotary]


class PrefixCache:
    """Keys and values that a prefix leaves in each layer, (batch, heads, length, size).

    A stock cache grows with every call. Here the first suffix that runs without gradients makes room for itself behind
    the prefix, and those that follow overwrite it: nothing is copied again, unless a longer one comes. Where a gradient
    needs prefix or suffix they are joined in a tensor of their own, and the prefix stays as it is.

    Attributes:
        length: tokens in the prefix.
        real: (batch, length) bool, true on tokens, or `None` when nothing is padded.
        layers: keys and values, as long as the prefix or longer.
        made: mask and rotary embedding of suffixes, by what tells their kinds apart; made for the first of a kind.
        samples: how many suffixes of each row come together, see `shared`.
    """

    def __init__(self, length: int, real: torch.Tensor | None = None):
        self.length = length
        self.real = real
        self.layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.made: dict[tuple, SuffixInputs] = {}
        self.samples = 1

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens in the prefix, as a cache of transformers says it."""
        return self.length

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep those of the next layer."""
        self.layers.append((keys, values))

    def repeated(self, count: int) -> "PrefixCache":
        """One with each sample `count` times, one behind the other."""
        if count == 1:
            return self
        wider = PrefixCache(self.length, None if self.real is None else self.real.repeat_interleave(count, dim=0))
        for layer in self.layers:
            wider.append(*(tensor[:, :, : self.length].repeat_interleave(count, dim=0) for tensor in layer))
        return wider

    def shared(self, count: int) -> "PrefixCache":
        """The same memory, for suffixes of `count` samples of each row, one behind the other in one sequence, in which
        a sample sees the prefix and itself: so the prefix is in memory, and read, once for all of them."""
        if count == 1:
            return self
        together = PrefixCache(self.length, self.real)
        together.layers, together.samples = self.layers, count
        return together

    def once(self, suffix: torch.Tensor, make: Callable[[], SuffixInputs]) -> SuffixInputs:
        """Mask and rotary embedding by `make`, which the suffixes of one shape and dtype have in common."""
        kind = *suffix.shape, suffix.dtype
        if kind not in self.made:
            self.made[kind] = make()
        return self.made[kind]

    def extended(self, index: int, *suffix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Keys and values of layer `index`, and behind them those of a suffix, (batch, heads, suffix length, size)."""
        kept = self.layers[index]
        if torch.is_grad_enabled() or any(tensor.requires_grad for tensor in kept):
            pairs = zip(kept, suffix, strict=True)
            return tuple(torch.cat([one[:, :, : self.length].to(new), new], dim=2) for one, new in pairs)
        end = self.length + suffix[0].shape[2]
        kept = tuple(self.with_room(one, new) for one, new in zip(kept, suffix, strict=True))
        self.layers[index] = kept
        for one, new in zip(kept, suffix, strict=True):
            one[:, :, self.length : end] = new
        return tuple(one[:, :, :end] for one in kept)

    def with_room(self, prefix: torch.Tensor, suffix: torch.Tensor) -> torch.Tensor:
        """The prefix with places behind it for the suffix, in the suffix's dtype; itself where it has them."""
        length = self.length + suffix.shape[2]
        if prefix.shape[2] >= length and (prefix.dtype, prefix.device) == (suffix.dtype, suffix.device):
            return prefix
        roomy = suffix.new_empty(*prefix.shape[:2], length, prefix.shape[3])
        roomy[:, :, : self.length] = prefix[:, :, : self.length]
        return roomy


class KeyValueCollector:
    """Stands in for a cache inside one attention layer and hands its keys and values out: (batch, heads, n, size)."""

    def update(self, keys: torch.Tensor, values: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = keys, values
        return keys, values


class KeyValueExtender:
    """Stands in for a cache inside one attention layer whose tokens also see those of a prefix."""

    def __init__(self, prefix: PrefixCache, index: int):
        self.prefix, self.index = prefix, index

    def update(self, keys: torch.Tensor, values: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor, ...]:
        return self.prefix.extended(self.index, keys, values)


def run_prefix(
    layers: Iterable[nn.Module],
    hidden_states: torch.Tensor,
    mask: torch.Tensor | None,
    rotary: Rotary,
    cache: PrefixCache | None = None,
) -> list[torch.Tensor]:
    """The states (batch, length, hidden_size) after each of the layers, whose keys and values `cache` keeps."""
    states, inputs = [], pass_inputs(mask, rotary, hidden_states)
    for layer in layers:
        hidden_states, keys, values = checkpointed(layer, run_and_collect, layer, hidden_states, inputs)
        states.append(hidden_states)
        if cache is not None:
            cache.append(keys, values)
    return states


def run_suffix(
    layers: Iterable[nn.Module],
    hidden_states: torch.Tensor,
    mask: torch.Tensor | None,
    rotary: Rotary,
    cache: PrefixCache,
    partners: Sequence[int] | None = None,
) -> torch.Tensor:
    """The states (batch, suffix length, hidden_size) after the last of the layers.

    partners: for each of the layers the layer of the prefix whose keys and values it sees; by default its own number.
    """
    inputs = pass_inputs(mask, rotary, hidden_states)
    for number, layer in enumerate(layers):
        extender = KeyValueExtender(cache, number if partners is None else partners[number])
        hidden_states = checkpointed(layer, run_layer, layer, hidden_states, inputs, extender)
    return hidden_states


def checkpointed(layer: nn.Module, function: Callable, *args: Any) -> Any:
    """`function(*args)`, computed once more in the backward pass where the layer's gradient checkpointing is on.

    The layer's own checkpointing would drop the keys and values that it is called for.
    """
    if layer.gradient_checkpointing and layer.training and torch.is_grad_enabled():
        return checkpoint(function, *args, use_reentrant=False)
    return function(*args)


def run_and_collect(
    layer: nn.Module, hidden_states: torch.Tensor, inputs: PassInputs
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A layer's output, keys and values."""
    collector = KeyValueCollector()
    return run_layer(layer, hidden_states, inputs, collector), collector.keys, collector.values


def run_layer(
    layer: nn.Module,
    hidden_states: torch.Tensor,
    inputs: PassInputs,
    keys_values: KeyValueCollector | KeyValueExtender,
) -> torch.Tensor:
    """A stock decoder layer over the keys and values that `keys_values` collects or extends; in fewer kernels where it
    can be, see `decoder_layer_pass.py`."""
    if is_stock(layer, hidden_states):
        return quick_layer(layer, hidden_states, inputs, keys_values)
    with without_checkpointing([layer]):
        return layer(
            hidden_states,
            attention_mask=inputs.mask,
            position_embeddings=inputs.rotary,
            is_causal=False,  # sdpa takes a missing mask for a causal one
            **{LAYERS_CACHE: keys_values},
        )


@contextmanager
def without_checkpointing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Switch off the modules' own gradient checkpointing, which would take their cache away from them."""
    switched = [module for module in modules if module.gradient_checkpointing]
    for module in switched:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for module in switched:
            module.gradient_checkpointing = True
