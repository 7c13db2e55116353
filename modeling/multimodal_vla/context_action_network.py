"""The network of a flow-matching expert over the states of any language model.

One Llama stack reads the context once and the noisy actions in each step. It takes the place of
`LLaVA3DWithActionExpertModel`, which has a stack for each and needs a Llama or a Mistral to share layers with.
"""

import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from ..masking import prefix_attention, suffix_attention
from ..sharded_layer import tie_keys_and_values
from ..stack_passes import PrefixCache, SuffixInputs, run_prefix, run_suffix


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
        states = self.context_proj(context)
        mask, real, positions = prefix_attention(states, attention_mask, False, self.implementation)
        cache = PrefixCache(context.shape[1], real)
        run_prefix(self.stack.layers, states, mask, self.stack.rotary_emb(states, positions), cache)
        return cache

    def read_suffix(self, suffix: torch.Tensor, cache: PrefixCache) -> torch.Tensor:
        """States of the action tokens after the last norm."""
        mask, rotary = cache.once(suffix, lambda: self.suffix_inputs(suffix, cache))
        return self.stack.norm(run_suffix(self.stack.layers, suffix, mask, rotary, cache))

    def suffix_inputs(self, suffix: torch.Tensor, cache: PrefixCache) -> SuffixInputs:
        """Mask and rotary embedding of the action tokens."""
        mask, positions = suffix_attention(suffix, cache.length, cache.real, self.implementation, cache.samples)
        return mask, self.stack.rotary_emb(suffix, positions)
