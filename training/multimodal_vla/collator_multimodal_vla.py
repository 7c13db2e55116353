"""Batches for composed VLAs."""

from collections.abc import Sequence

import torch

from ...configuration.multimodal_vla.head_facts import HEAD_FACTS
from ...configuration.vla_errors import InputError
from ..collator_entries import Example
from ..collator_robot import RobotCollator


class MultimodalVLACollator(RobotCollator):
    """A list of examples -> the arguments of the model's `forward`; arguments as in `RobotCollator`.

    An example may hold `time` (0..1, 1 being noise) and `noise` (num_action_chunks, action_dim), which the flow head
    alone reads, and an `answer`, which the language model learns to write with `learn_text`.
    """

    @property
    def starts_from_noise(self) -> bool:
        return HEAD_FACTS[self.config.action_head].has_draws

    def check(self) -> None:
        """Refuse to learn text with an encoder."""
        if self.learn_text and not self.config.writes_text:
            raise InputError("learn_text=True: the text model is an encoder, which writes no text; leave it out.")

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Collate a batch.

        Returns:
            `input_ids` and `attention_mask` (batch, length), padded on the right; `pixel_values` (batch, views, 3,
            height, width), or patches and their `image_grid_thw`; `state` (batch, state_dim) for a model with
            state; `actions` (batch, num_action_chunks, action_dim), normalised; and `time`, `noise`,
            `action_is_pad`, `sample_weight` as they came; with `learn_text` also `labels` and `answer_mask` (batch,
            length).

        Raises:
            InputError: an entry is missing or has the wrong form; the message names the example and the entry.
        """
        return self.actions_behind_prompts(examples, reads_draws=self.starts_from_noise)
