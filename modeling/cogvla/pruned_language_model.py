"""The language model of a VLA: one sequence of text and prefix in, the states that are wanted out.

The sequence is BOS, prefix (vision tokens, state token, diffusion-time token), prompt, action block, padding. Token
pruning happens where it is read, and only there: tokens that follow one by one run through plain Llama layers at
full-sequence positions, as published, over a cache whose layers differ in length.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import nn
from transformers import Cache

from ...configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..llama_layers import Rotary, is_stock
from ..masking import mask_for
from ..sampled_actions import repeated
from .action_sequence import ActionSequence
from .growing_cache import GrowingCache
from .token_pruning import STACKS_CACHE, LFPLlamaModel, Pruning, select

FREQUENCIES_OF_LENGTH = ("dynamic", "longrope")  # rotary embeddings that change for all tokens with the last position


@dataclass
class LanguageModelInputs:
    """One sequence, ready for the language model.

    Attributes:
        text_embeds: (batch, length, hidden_size), BOS and all that follows the prefix.
        prefix: (batch, prefix length, hidden_size): vision tokens, state token, diffusion-time token.
        attention_mask: (batch, 1, sequence, sequence), see masking.py.
        prompt: (batch, sequence) bool, see `Pruning`.
        positions: (batch, count), the places in the sequence whose states are wanted.
    """

    text_embeds: torch.Tensor
    prefix: torch.Tensor
    attention_mask: torch.Tensor
    prompt: torch.Tensor
    positions: torch.Tensor

    def repeated(self, count: int) -> "LanguageModelInputs":
        """Each sequence `count` times, one behind the other."""
        return LanguageModelInputs(*(repeated(getattr(self, each.name), count) for each in fields(self)))


class TokensAhead(NamedTuple):
    """What tokens that follow a text one by one need, each seeing all before it.

    Attributes:
        mask: (batch, 1, 1, keys), of the last of them, see masking.py.
        positions: (batch, tokens).
        rotary: cosines and sines of the positions, or `None` where the language model makes them itself.
    """

    mask: torch.Tensor
    positions: torch.Tensor
    rotary: Rotary | None

    def at(self, number: int) -> "TokensAhead":
        """That of one of them, counted from 0."""
        keys = self.mask.shape[-1] - self.positions.shape[1] + number + 1
        place = slice(number, number + 1)
        rotary = None if self.rotary is None else tuple(each[:, place] for each in self.rotary)
        return TokensAhead(self.mask[..., :keys], self.positions[:, place], rotary)


class LanguageModel(nn.Module):
    """Llama with token pruning and its output projection, under the published names `model` and `lm_head`."""

    def __init__(self, config: CogVLAConfig):
        super().__init__()
        text = config.text_config
        self.num_vision_tokens = config.num_vision_tokens
        self.model = LFPLlamaModel(text, config.lfp_keep_ratios, config.lfp_enable_film)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)

    @property
    def attn_implementation(self) -> str:
        """Asked in every call, since it may be set after construction."""
        return self.model.config._attn_implementation

    def assemble(
        self, sequence: ActionSequence, embeds: torch.Tensor, prefix: torch.Tensor, mode: str, count: int
    ) -> LanguageModelInputs:
        """Put the prefix (batch, prefix length, hidden_size) behind the BOS of embeds (batch, length, hidden_size).

        mode: see `parallel_decoding_mask`; count: how many states are wanted, from the last prompt token on.
        """
        batch, length = prefix.shape[:2]
        outside = sequence.real.new_zeros(batch, length)
        behind_vision = torch.arange(length, device=prefix.device).expand(batch, -1) >= self.num_vision_tokens
        real, block = after_bos(sequence.real, ~outside), after_bos(sequence.is_block, outside)
        return LanguageModelInputs(
            text_embeds=embeds,
            prefix=prefix,
            attention_mask=parallel_decoding_mask(real, block, mode, embeds.dtype, self.attn_implementation),
            prompt=after_bos(sequence.is_prompt, behind_vision),
            positions=sequence.predicting(count) + length,
        )

    @property
    def has_fixed_frequencies(self) -> bool:
        """Whether the rotary embedding is that of longer sequences, too: padding of a bucket would change others."""
        return self.model.rotary_emb.rope_type not in FREQUENCIES_OF_LENGTH

    def rotary(self, inputs: LanguageModelInputs) -> Rotary:
        """Cosines and sines of all places of the sequence, for as many calls of `read` as there are."""
        length = inputs.text_embeds.shape[1] + inputs.prefix.shape[1]
        places = torch.arange(length, device=inputs.prefix.device).unsqueeze(0)
        return self.model.rotary_emb(inputs.text_embeds, places)

    def read(
        self, inputs: LanguageModelInputs, cache: Cache | GrowingCache | None = None, rotary: Rotary | None = None
    ) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """The wanted states (batch, count, hidden_size), after the final norm, and the tokens that each layer kept.

        rotary: that of the inputs, where it is known.
        """
        pruning = Pruning(self.num_vision_tokens, inputs.prompt)
        embeds, mask = after_bos(inputs.text_embeds, inputs.prefix), inputs.attention_mask
        if is_stock(self.model, LFPLlamaModel):
            rotary = self.rotary(inputs) if rotary is None else rotary
            hidden_states = self.model.run(embeds, self.added(mask, embeds.dtype), rotary, pruning, cache)
        else:
            named = {"attention_mask": mask, "use_cache": cache is not None, "pruning": pruning, STACKS_CACHE: cache}
            hidden_states = self.model(inputs_embeds=embeds, **named).last_hidden_state
        return select(hidden_states, inputs.positions), pruning.kept

    def ahead(self, real: torch.Tensor, prefix_length: int, count: int) -> TokensAhead:
        """What the next `count` tokens need to be read one by one.

        real: (batch, length) bool, of the text with these tokens at its end, without the prefix.
        """
        keys = torch.cat([real[:, :1].expand(-1, prefix_length), real], dim=1)
        positions, dtype = keys.cumsum(dim=1)[:, -count:] - 1, self.model.embed_tokens.weight.dtype
        mask = mask_for(self.attn_implementation, keys[:, None, :], dtype)
        if not is_stock(self.model, LFPLlamaModel):
            return TokensAhead(mask, positions, None)
        here = torch.empty(0, dtype=dtype, device=real.device)  # weights that are offloaded are nowhere
        return TokensAhead(self.added(mask, dtype), positions, self.model.rotary_emb(here, positions))

    def read_on(self, ids: torch.Tensor, ahead: TokensAhead, cache: Cache | GrowingCache) -> torch.Tensor:
        """One more token of each text, ids (batch, 1) -> its states (batch, 1, hidden_size); ahead: `TokensAhead.at`"""
        embeds = self.model.embed_tokens(ids)
        if ahead.rotary is not None:
            return self.model.run(embeds, ahead.mask, ahead.rotary, cache=cache)
        named = {"attention_mask": ahead.mask, "position_ids": ahead.positions, "use_cache": True, STACKS_CACHE: cache}
        return self.model(inputs_embeds=embeds, **named).last_hidden_state

    def added(self, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The mask as torch's fused attention adds it to scores, made once instead of in every layer; gradients, of
        which `masking.py` tells, are not computed here."""
        if self.attn_implementation != "sdpa" or mask.dtype != torch.bool:
            return mask
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def with_noise(
    inputs: LanguageModelInputs, sequence: ActionSequence, noise_tokens: torch.Tensor, time_embeds: torch.Tensor
) -> LanguageModelInputs:
    """The inputs of one denoising step.

    noise_tokens: (batch, action tokens, hidden_size), one a number; time_embeds: (batch, hidden_size).
    """
    tokens = noise_tokens.to(inputs.text_embeds.dtype)  # autocast changes that of a projection, not of an embedding
    index = sequence.predicting(tokens.shape[1]) + 1
    text_embeds = inputs.text_embeds.scatter(1, index.unsqueeze(-1).expand_as(tokens), tokens)
    prefix = torch.cat([inputs.prefix[:, :-1], time_embeds.to(inputs.prefix.dtype).unsqueeze(1)], dim=1)
    return replace(inputs, text_embeds=text_embeds, prefix=prefix)


def after_bos(text: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
    """(batch, length, ...) with (batch, prefix length, ...) put behind its first token."""
    return torch.cat([text[:, :1], prefix, text[:, 1:]], dim=1)


def parallel_decoding_mask(
    real: torch.Tensor, block: torch.Tensor, mode: str, dtype: torch.dtype, implementation: str = "eager"
) -> torch.Tensor:
    """The mask of one whole forward pass, (batch, 1, sequence, sequence).

    Args:
        real: (batch, sequence) bool, false on padding, which comes last and which nobody looks at.
        block: (batch, sequence) bool, action and stop tokens.
        mode: `causal`; `block`: causal, and open among the tokens of `block` (CogVLA); `bidirectional` (OpenVLA-OFT).
        dtype, implementation: see `mask_for`.
    """
    position = torch.arange(real.shape[1], device=real.device)
    allowed = real[:, None, :].expand(-1, real.shape[1], -1)
    if mode != "bidirectional":
        visible = (position[None, :] <= position[:, None])[None]
        if mode == "block":
            visible = visible | (block[:, :, None] & block[:, None, :])
        allowed = allowed & visible
    return mask_for(implementation, allowed, dtype)
