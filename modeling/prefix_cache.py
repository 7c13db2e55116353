"""Keys and values of a prefix in every layer, which a suffix attends to step after step.

A stock cache grows with every call. Here the prefix is written once, with room behind it, and each step of the suffix
overwrites that room: nothing is copied and nothing grows while actions are sampled.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from .cache_names import cache_argument
from .joint_attention import suffix_mask

LAYERS_CACHE = cache_argument(LlamaDecoderLayer.forward)  # and so it is in those of Mistral and Qwen3-VL


class KeyValueCollector:
    """Stands in for a cache inside one attention layer and hands its keys and values out: (batch, heads, n, size)."""

    def update(self, keys: torch.Tensor, values: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = keys, values
        return keys, values


class KeyValueExtender:
    """Stands in for a cache inside one attention layer whose tokens also see those of a prefix."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, length: int, in_place: bool):
        self.keys, self.values, self.length, self.in_place = keys, values, length, in_place

    def update(self, keys: torch.Tensor, values: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        return self.extended(self.keys, keys), self.extended(self.values, values)

    def extended(self, prefix: torch.Tensor, suffix: torch.Tensor) -> torch.Tensor:
        if not self.in_place:
            return torch.cat([prefix[:, :, : self.length].to(suffix.dtype), suffix], dim=2)
        end = self.length + suffix.shape[2]
        prefix[:, :, self.length : end] = suffix
        return prefix[:, :, :end]


class PrefixCache:
    """What a prefix pass leaves for the suffix passes.

    Attributes:
        real: (batch, prefix length) bool, true on tokens, or `None` when nothing is padded.
        room: places kept behind the prefix. A longer suffix makes the cache grow, once. With 0, while gradients are
            on, the prefix stays as it is and they flow through it.
    """

    def __init__(self, batch_size: int, length: int, real: torch.Tensor | None, room: int):
        self.batch_size = batch_size
        self.length = length
        self.real = real
        self.room = room
        self.layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._masks: dict[tuple[int, torch.dtype, str | None], torch.Tensor] = {}

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens in the prefix, as a cache of transformers says it."""
        return self.length

    @property
    def in_place(self) -> bool:
        """Whether a suffix may be written behind the prefix: not where a gradient needs either of them."""
        return self.room > 0 and not torch.is_grad_enabled()

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep the keys and values of the next layer, (batch, heads, prefix length, size)."""
        self.layers.append((self.with_room(keys), self.with_room(values)))

    def with_room(self, prefix: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        if not self.room:
            return prefix
        buffer = prefix.new_empty(*prefix.shape[:2], self.length + self.room, prefix.shape[3], dtype=dtype)
        buffer[:, :, : self.length] = prefix[:, :, : self.length]
        return buffer

    def reserve(self, suffix_len: int, dtype: torch.dtype) -> None:
        """Make sure that a suffix of this length and dtype can be written behind the prefix."""
        if not self.in_place or (self.room >= suffix_len and self.layers[0][0].dtype == dtype):
            return
        self.room = max(self.room, suffix_len)
        self.layers = [tuple(self.with_room(tensor, dtype) for tensor in layer) for layer in self.layers]

    def extender(self, index: int) -> KeyValueExtender:
        """For the expert layer that is paired with base layer `index`."""
        return KeyValueExtender(*self.layers[index], self.length, self.in_place)

    def suffix_mask(self, suffix_len: int, dtype: torch.dtype, implementation: str | None) -> torch.Tensor | None:
        """The suffix's rows of the joint mask, built once; `None` when there is no padding."""
        if self.real is None:
            return None
        key = suffix_len, dtype, implementation
        if key not in self._masks:
            self._masks[key] = suffix_mask(self.real, *key)
        return self._masks[key]

    def suffix_positions(self, suffix_len: int, device: torch.device) -> torch.Tensor:
        """(batch, suffix length): they go on from the number of tokens in the prefix."""
        places = torch.arange(suffix_len, device=device)
        if self.real is None:
            return (places + self.length).expand(self.batch_size, -1)
        return self.real.sum(dim=1, keepdim=True) + places


def run_layer(
    layer: nn.Module,
    hidden_states: torch.Tensor,
    mask: torch.Tensor | None,
    rotary: tuple[torch.Tensor, torch.Tensor],
    keys_values,
) -> torch.Tensor:
    """A stock decoder layer over the keys and values that `keys_values` collects or extends."""
    with without_checkpointing([layer]):
        return layer(
            hidden_states,
            attention_mask=mask,
            position_embeddings=rotary,
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
