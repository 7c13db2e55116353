"""Layers of a language model that look at images through gates: Flamingo's gated cross-attention (Alayrac et al., arXiv
2204.14198, section 2.2 and figure 4).

Before every n-th layer of the language model stands a block of ours. Its gates start closed, so that a new model writes
what its language model writes. The language model is one of transformers and stays as it is: its own forward hands what
there is to see down to its layers, as an argument or in the cache, and a hook at each layer takes it out there. Nothing
is kept between calls.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache, PretrainedConfig

from ...configuration.multimodal_vla.configuration_multimodal_vla import MultimodalVLAConfig
from ..attention import attend
from ..cache_names import CACHE_NAMES
from ..fused_linears import is_unhooked, product_if_joined
from ..model_watch import part_of_model

SEEN = "seen_images"  # the argument of the layers

KeysValues = tuple[torch.Tensor, torch.Tensor]


class KeyValueProjection(nn.Module):
    """Keys and values of vision tokens, the same for all that look at them."""

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, tokens: torch.Tensor) -> KeysValues:
        """(batch, tokens, hidden_size) -> two of (batch, heads, tokens, head_dim)."""
        heads = (proj(tokens).unflatten(-1, (self.num_heads, -1)) for proj in (self.k_proj, self.v_proj))
        return tuple(one.transpose(1, 2) for one in heads)


class GatedCrossAttention(nn.Module):
    """Cross-attention and a feed-forward network, each behind a gate: `x + tanh(gate) * f(x)`; both gates start at 0.

    Attributes:
        attn_gate, mlp_gate: (1,) each.
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(hidden_size)
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.keys_values = KeyValueProjection(hidden_size, num_heads)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.fc1 = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.fc2 = nn.Linear(4 * hidden_size, hidden_size, bias=False)
        self.attn_gate = nn.Parameter(torch.zeros(1))
        self.mlp_gate = nn.Parameter(torch.zeros(1))

    def forward(self, states: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """states: (batch, length, hidden_size), several rows of a sample side by side where beams share its images;
        keys, values: (samples, heads, tokens, head_dim)."""
        rows = len(states) // len(keys)
        keys, values = (one.repeat_interleave(rows, dim=0) if rows > 1 else one for one in (keys, values))
        queries = self.q_proj(self.norm(states)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        attended = self.o_proj(attend(queries, keys, values).transpose(1, 2).flatten(2))
        states = states + self.attn_gate.tanh() * attended
        return states + self.mlp_gate.tanh() * self.fc2(F.gelu(self.fc1(self.mlp_norm(states))))


class SeenByLayers(NamedTuple):
    """What layers of a language model see of the images of one batch.

    Attributes:
        blocks: one for each layer that looks.
        keys_values: of each of the blocks.
        interval: the first layer looks, and every `interval`-th behind it.
    """

    blocks: Sequence[nn.Module]
    keys_values: Sequence[KeysValues]
    interval: int

    def before_layer(self, index: int, states: torch.Tensor) -> torch.Tensor:
        """What a layer reads, (batch, length, hidden_size); index: of the layer."""
        place, rest = divmod(index, self.interval)
        return states if rest else self.blocks[place](states, *self.keys_values[place])


class GatedLayers(nn.Module):
    """The blocks of a language model of `num_layers`, one before the first layer and every `interval`-th behind it."""

    def __init__(self, hidden_size: int, num_heads: int, num_layers: int, interval: int):
        super().__init__()
        count = len(range(0, num_layers, interval))
        self.blocks = nn.ModuleList(GatedCrossAttention(hidden_size, num_heads) for _ in range(count))
        self.interval = interval

    def keys_values(self) -> list[nn.Linear]:
        """The layers that read the vision tokens: for keys and for values, one block after another."""
        found = [block.keys_values for block in self.blocks]
        return [linear for each in found for linear in (each.k_proj, each.v_proj)]

    def forward(self, tokens: torch.Tensor) -> SeenByLayers:
        """tokens: (batch, tokens, hidden_size), those of all views of a sample."""
        is_plain = all(is_unhooked(block.keys_values) for block in self.blocks)
        joint = product_if_joined(self.keys_values(), tokens) if is_plain else None
        if joint is None:
            return SeenByLayers(self.blocks, [block.keys_values(tokens) for block in self.blocks], self.interval)
        heads = joint.unflatten(-1, (2 * len(self.blocks), self.blocks[0].num_heads, -1)).permute(2, 0, 3, 1, 4)
        return SeenByLayers(self.blocks, list(zip(heads[::2], heads[1::2], strict=True)), self.interval)


def make_gated_layers(config: MultimodalVLAConfig) -> GatedLayers | None:
    """`None` with another fusion."""
    if config.fusion != "gated_cross_attention":
        return None
    sizes = config.hidden_size, config.num_resampler_heads, config.text_config.num_hidden_layers
    return GatedLayers(*sizes, config.cross_layer_interval)


class CacheWithImages(DynamicCache):
    """A cache of transformers that also takes to the layers what they see, through each step of `generate`."""

    def __init__(self, config: PretrainedConfig, seen: SeenByLayers):
        super().__init__(config=config)
        self.seen_images = seen


def open_layers(layers: Sequence[nn.Module]) -> None:
    """Let the layers of a language model take `SeenByLayers`; without it they do what they did. Once for each layer."""
    for index, layer in enumerate(layers):
        if not any(getattr(hook, "func", None) is look for hook in layer._forward_pre_hooks.values()):
            layer.register_forward_pre_hook(partial(look, index), with_kwargs=True)


@part_of_model
def look(index: int, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Forward pre-hook: the layer reads what its block makes of the states, and does not know of it."""
    others = {name: value for name, value in kwargs.items() if name != SEEN}
    caches = [kwargs[name] for name in CACHE_NAMES if kwargs.get(name) is not None]
    seen = kwargs.get(SEEN, next((cache.seen_images for cache in caches if hasattr(cache, SEEN)), None))
    if seen is None:
        return args, others
    if args:
        return (seen.before_layer(index, args[0]), *args[1:]), others
    return args, others | {"hidden_states": seen.before_layer(index, others["hidden_states"])}
