"""The network of a flow-matching expert over the states of any language model.

One Llama stack reads the context once and the noisy actions in each step. It takes the place of
`LLaVA3DWithActionExpertModel`, which has a stack for each and needs a Llama or a Mistral to share layers with.
"""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig, LlamaModel

from ..masking import mask_for
from ..prefix_cache import KeyValueCollector, PrefixCache, run_layer
from ..sharded_layer import tie_keys_and_values

ROOM = 128  # places behind the context that a suffix is written to; a longer one makes the cache grow, once


class ContextActionNetwork(nn.Module):
    """Context tokens see each other; action tokens see the context and each other.

    Args:
        context_size: width of the context.
        config: of the stack.
    """

    def __init__(self, context_size: int, config: LlamaConfig):
        super().__init__()
        self.hidden_size = context_size
        self.context_proj = nn.Linear(context_size, config.hidden_size)
        self.stack = LlamaModel(config)
        self.stack.embed_tokens = None
        tie_keys_and_values(self.stack.layers[-1])

    @property
    def expert_hidden_size(self) -> int:
        """Width of the action tokens."""
        return self.stack.config.hidden_size

    @property
    def implementation(self) -> str | None:
        """Of the attention."""
        return self.stack.config._attn_implementation

    def forward(
        self,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: PrefixCache | None = None,
        inputs_embeds: list[torch.Tensor | None] | None = None,
        use_cache: bool = False,
    ) -> tuple[list[torch.Tensor | None], PrefixCache | None]:
        """As `LLaVA3DWithActionExpertModel.forward`: `[context, suffix]` in, `([None, states], cache)` out.

        attention_mask: (batch, context length), 0 on padding; position_ids are counted and not read.
        """
        context, suffix = inputs_embeds
        cache = past_key_values if context is None else self.read_context(context, attention_mask)
        states = None if suffix is None else self.read_suffix(suffix, cache)
        return [None, states], cache if use_cache or context is None else None

    def read_context(self, context: torch.Tensor, attention_mask: torch.Tensor | None) -> PrefixCache:
        """Keys and values of the context in every layer."""
        real = None if attention_mask is None or attention_mask.all() else attention_mask.bool()
        batch, length = context.shape[:2]
        cache = PrefixCache(batch, length, real, room=0 if torch.is_grad_enabled() else ROOM)
        states = self.context_proj(context)
        mask = (
            None if real is None else mask_for(self.implementation, real[:, None].expand(-1, length, -1), states.dtype)
        )
        counted = torch.arange(length, device=context.device).expand(batch, -1)
        positions = counted if real is None else (real.cumsum(dim=1) - 1).clamp(min=0)
        cos, sin = self.stack.rotary_emb(states, positions)
        for layer in self.stack.layers:
            states, keys, values = self.maybe_checkpointed(context_layer, layer, states, mask, cos, sin)
            cache.append(keys, values)
        return cache

    def read_suffix(self, suffix: torch.Tensor, cache: PrefixCache) -> torch.Tensor:
        """States of the action tokens after the last norm."""
        length = suffix.shape[1]
        cache.reserve(length, suffix.dtype)
        mask = cache.suffix_mask(length, suffix.dtype, self.implementation)
        rotary = self.stack.rotary_emb(suffix, cache.suffix_positions(length, suffix.device))
        for index, layer in enumerate(self.stack.layers):
            suffix = self.maybe_checkpointed(run_layer, layer, suffix, mask, rotary, cache.extender(index))
        return self.stack.norm(suffix)

    def maybe_checkpointed(self, function, layer: nn.Module, *args):
        """`function(layer, *args)`, once more in the backward pass where gradient checkpointing is on."""
        if layer.gradient_checkpointing and layer.training and torch.is_grad_enabled():
            return checkpoint(function, layer, *args, use_reentrant=False)
        return function(layer, *args)


def context_layer(
    layer: nn.Module, states: torch.Tensor, mask: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One layer over the context; returns its output, keys and values."""
    collector = KeyValueCollector()
    states = run_layer(layer, states, mask, (cos, sin), collector)
    return states, collector.keys, collector.values
