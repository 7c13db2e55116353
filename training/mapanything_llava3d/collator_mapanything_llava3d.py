"""Batches for LLaVA-3D: actions for its experts, or action tokens for the language model."""

from collections.abc import Sequence

import torch

from ...configuration.vla_errors import InputError
from ...processing.mapanything_llava3d.spatial_action_tokenizer import ACTION_DIM, TOKENS_PER_STEP
from ..collator_answers import answer_labels, without_padding
from ..collator_entries import Example, sample_weights
from ..collator_robot import RobotCollator


class MapAnythingLlava3DCollator(RobotCollator):
    """A list of examples -> the arguments of the model's `forward`; arguments as in `RobotCollator`.

    A model with an action expert learns the actions; one without it learns their tokens, which the processor writes
    (`action_token_config`). An example may hold `time` (0..1, 1 being noise) and `noise` (num_action_chunks,
    action_dim), which experts alone read, and an `answer`, which the language model learns to write with `learn_text`.

    Raises:
        InputError: the model has no expert and the processor no action tokens, or its actions have not the seven
            values that those stand for.
    """

    @property
    def has_expert(self) -> bool:
        """Whether actions are learnt by an expert; else they are text."""
        return self.config.action_expert_type is not None

    @property
    def starts_from_noise(self) -> bool:
        return self.has_expert

    def check(self) -> None:
        """Refuse a model that has nothing to learn the actions with, or no text beside them."""
        if self.has_expert:
            return
        if self.processor.action_token_config is None:
            raise InputError(
                "there is nothing to learn actions with: action_expert_type of the config and action_token_config of "
                "the processor are None; set one of them."
            )
        if self.learn_text:
            raise InputError("learn_text=True: this model writes action tokens and no other text; leave it out.")
        if self.config.action_dim != ACTION_DIM:
            raise InputError(f"action_dim={self.config.action_dim}: action tokens stand for {ACTION_DIM} values.")

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Collate a batch.

        Returns:
            `input_ids` and `attention_mask` (batch, length), padded on the right; `pixel_values` (batch, views, 3,
            height, width); `state` (batch, state_dim) for a model with state; `intrinsic` where the processor knows
            the cameras. With an expert `actions` (batch, num_action_chunks, action_dim), normalised, and `time`,
            `noise`, `action_is_pad` as they came, and with `learn_text` `labels` and `answer_mask` (batch, length);
            otherwise the prompts go on with the actions' tokens, and `labels` (batch, length) hold those of steps that
            are no padding and -100 elsewhere. `sample_weight` (batch,) as it came.

        Raises:
            InputError: an entry is missing or has the wrong form; the message names the example and the entry.
        """
        if self.has_expert:
            return self.actions_behind_prompts(examples, reads_draws=True)
        batch = self.inputs(examples, padding_side="right", actions=self.actions(examples))
        lengths = torch.full((len(examples),), TOKENS_PER_STEP * self.config.num_action_chunks)
        labels = answer_labels(batch["input_ids"], batch["attention_mask"], lengths)
        for padding in self.padding(examples).values():
            labels = without_padding(labels, batch["attention_mask"], padding.repeat_interleave(TOKENS_PER_STEP, dim=1))
        return batch | {"labels": labels} | sample_weights(examples)
