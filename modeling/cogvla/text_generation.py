"""Text from a CogVLA model: `generate` with a cache whose layers differ in length.

Token pruning happens where the prompt is read, and only there: the tokens that follow run through plain Llama layers at
full-sequence positions, as published. With `use_cache=False` every token reads images and prompt anew, in the light of
the text so far (FiLM, fusion and pruning all depend on it), so its text can differ from cached decoding.
"""

import torch
from transformers import Cache

from ..cache_names import OUTPUT_NAME, one_cache
from ..input_checks import check_ids, check_inputs, check_rows, one_of
from ..masking import decoding_mask, masked_mean
from .action_sequence import ActionSequence, right_aligned
from .cogvla_inputs import check_pixel_values, check_places, check_state, mask_or_ones
from .cogvla_outputs import CogVLAOutput
from .token_pruning import STACKS_CACHE


class TextGeneration:
    """`generate`, and the two kinds of forward pass it consists of; for a model that is also a `GenerationMixin`."""

    def generate(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None = None, **kwargs):
        """As in transformers: the prompts with their continuations, or a dict-like output holding them.

        Args:
            input_ids, attention_mask: (batch, length) prompts.
            pixel_values, state, proprio: as in `predict_action`.
        """
        kwargs["state"] = one_of(state=kwargs.pop("state", None), proprio=kwargs.pop("proprio", None))
        check_inputs(self, input_ids, attention_mask, {name: kwargs.get(name) for name in ("pixel_values", "state")})
        check_ids(input_ids, self.get_input_embeddings())
        check_places(self.config, input_ids.shape[1], 0)
        mask = mask_or_ones(input_ids, attention_mask)
        check_rows(mask)
        left_aligned, ids = (x.flip(1) for x in right_aligned(mask.flip(1), input_ids.flip(1)))
        length = input_ids.shape[1]
        output = super().generate(
            input_ids=ids, attention_mask=left_aligned.to(mask.dtype), prompt_length=length, **kwargs
        )
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        copies = sequences.shape[0] // input_ids.shape[0]
        sequences[:, :length] = input_ids.repeat_interleave(copies, dim=0)  # padded as the caller had it
        return output

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        past_key_values: Cache | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        prompt_length: int = 0,
        cache: Cache | None = None,
        **kwargs,
    ) -> dict:
        """The first step reads prompt and images; with a cache every later one reads its last token only.

        transformers pads prompts on the left here, while the cache holds them padded on the right.
        """
        mask = mask_or_ones(input_ids, attention_mask)
        cache = one_cache(cache, past_key_values)
        inputs = {"attention_mask": mask, OUTPUT_NAME: cache, "text_generation": True}
        if cache is None or cache.get_seq_length() == 0:
            return inputs | {"input_ids": input_ids, "pixel_values": pixel_values, "state": state}
        (prompt,) = right_aligned(mask[:, :prompt_length])
        mask = torch.cat([prompt.to(mask.dtype), mask[:, prompt_length:]], dim=1)
        return inputs | {"input_ids": input_ids[:, -1:], "attention_mask": mask}

    def forward_text(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pixel_values: torch.Tensor | None,
        state: torch.Tensor | None,
        cache: Cache | None,
    ) -> CogVLAOutput:
        """Logits (batch, 1, vocabulary) of the token after `input_ids`, or after the one token that continues `cache`.

        attention_mask: (batch, length of the whole text so far).
        """
        if cache is not None and cache.get_seq_length() > 0:
            states, kept = self.decode_step(input_ids, attention_mask.bool(), cache), None
        else:
            dtype = self.dtype
            pixel_values = check_pixel_values(self.config, input_ids, pixel_values, dtype)
            state = check_state(self.config, input_ids, state, dtype)
            real, ids = right_aligned(attention_mask, input_ids)
            states, kept, _ = self.prefill(ids, real, pixel_values, state, cache)
        logits = self.language_model.lm_head(states)
        return CogVLAOutput(logits=logits, kept_vision_tokens=kept, **{OUTPUT_NAME: cache})

    def prefill(self, ids, real, pixel_values, state, cache):
        """Read right-padded prompts: states (batch, 1, hidden_size) at their last tokens, kept tokens, MoE ratios."""
        sequence = ActionSequence(ids, real, last_prompt=real.sum(dim=1) - 1, num_action_tokens=0)
        embeds = self.get_input_embeddings()(ids)
        prefix, moe_ratios = self.encode_prefix(pixel_values, masked_mean(embeds, real).squeeze(1), state)
        inputs = self.assemble(sequence, embeds, prefix, mode="causal", count=1)
        return *self.run_language_model(inputs, cache), moe_ratios

    def decode_step(self, ids: torch.Tensor, real: torch.Tensor, cache: Cache) -> torch.Tensor:
        """One more token each, ids: (batch, 1); real: (batch, length of the whole text), bool -> its states."""
        prefix_length = self.config.num_vision_tokens + (self.proprio_projector is not None)
        keys = torch.cat([real[:, :1].expand(-1, prefix_length), real], dim=1)
        output = self.language_model.model(
            inputs_embeds=self.get_input_embeddings()(ids),
            attention_mask=decoding_mask(keys, self.dtype, self.language_model.model.config._attn_implementation),
            position_ids=keys.sum(dim=1, keepdim=True) - 1,
            use_cache=True,
            **{STACKS_CACHE: cache},
        )
        return output.last_hidden_state
