"""Batches for CogVLA, OpenVLA-OFT and OpenVLA: prompts that end with their action tokens."""

from collections.abc import Sequence

import torch

from ...configuration.vla_errors import InputError
from ...modeling.action_tokens import actions_to_tokens
from ...modeling.cogvla.action_sequence import right_padded, with_prompt_end
from ..collator_answers import with_answers, without_padding
from ..collator_entries import Example, check_range, given_numbers, sample_weights
from ..collator_robot import RobotCollator


class CogVLACollator(RobotCollator):
    """A list of examples -> the arguments of `CogVLAForActionPrediction.forward`; arguments as in `RobotCollator`.

    With `augment` the processor's centre crop is off: the augmentation crops. Without it the images are those of
    predictions. An example may hold `noise` (num_action_chunks, action_dim) and `timesteps` (a whole number), which
    the diffusion head alone reads.
    """

    def check(self) -> None:
        """Refuse to learn text."""
        if self.learn_text:
            raise InputError("learn_text=True: a cogvla writes no text beside its actions; leave it out.")

    @property
    def starts_from_noise(self) -> bool:
        return self.config.action_head == "diffusion"

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Collate a batch.

        Returns:
            `input_ids`, `attention_mask` and `labels` (batch, length), padded on the right: each row is the prompt of
            `predict_action`, the actions' tokens step by step, and the stop token; the labels are -100 before these
            and on padding, also that of a chunk. `pixel_values` (batch, 6 * views, height, width); `state` (batch,
            state_dim) for a model with state; `actions` (batch, num_action_chunks, action_dim), normalised, and
            `action_is_pad` for a continuous head; and `noise`, `timesteps`, `sample_weight` as they came.

        Raises:
            InputError: an entry is missing or has the wrong form; the message names the example and the entry.
        """
        actions = self.actions(examples)
        draws = self.diffusion_draws(examples)
        batch = self.inputs(examples, center_crop=False if self.augment else None)
        real, ids = right_padded(batch["attention_mask"], batch["input_ids"])
        prompts = with_prompt_end(ids, real, self.config.prompt_end_token_id)
        batch |= with_answers(*prompts, self.action_answers(actions), self.processor.tokenizer)
        padding = self.padding(examples)
        for is_pad in padding.values():
            tokens = is_pad.repeat_interleave(self.config.action_dim, dim=1)
            batch["labels"] = without_padding(batch["labels"], batch["attention_mask"], tokens, behind=1)
        batch |= sample_weights(examples)
        if self.config.action_head == "discrete":
            return batch
        return batch | {"actions": actions} | padding | draws

    def action_answers(self, actions: torch.Tensor) -> list[list[int]]:
        """Action tokens and stop token of each sample; actions: (batch, num_action_chunks, action_dim)."""
        vocab_size = self.config.text_config.vocab_size - self.config.pad_to_multiple_of
        tokens = actions_to_tokens(actions.flatten(1), vocab_size, self.config.n_action_bins)
        return [[*row, self.config.stop_token_id] for row in tokens.tolist()]

    def diffusion_draws(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """`noise` (batch, num_action_chunks, action_dim) and `timesteps` (batch,) int64, where examples have them."""
        if not self.starts_from_noise:
            return {}
        found = given_numbers(examples, {"noise": self.chunk_shape, "timesteps": ()})
        if "timesteps" in found:
            steps = found["timesteps"]
            check_range("timesteps", steps, 0, self.config.num_diffusion_steps - 1)
            found["timesteps"] = steps.long()
            if (found["timesteps"] != steps).any():
                raise InputError(f"the examples' 'timesteps' must be whole numbers, got {steps.tolist()}.")
        return found
