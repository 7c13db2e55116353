"""Batches for composed VLAs."""

from collections.abc import Sequence
from typing import Any

import torch

from ..collator_entries import Augment, Example
from ..collator_robot import RobotCollator


class MultimodalVLACollator(RobotCollator):
    """A list of examples -> the arguments of the model's `forward`; arguments as in `RobotCollator`.

    An example may hold `time` (0..1, 1 being noise) and `noise` (num_action_chunks, action_dim), which the flow head
    alone reads, and an `answer`, which the language model learns to write with `learn_text`.
    """

    def __init__(
        self,
        config: Any,
        processor: Any,
        augment: Augment | None = None,
        unnorm_key: str | None = None,
        learn_text: bool = False,
    ):
        chunk_shape = config.num_action_chunks, config.action_dim
        state_dims = config.proprio_dim if config.use_proprio else None, processor.proprio_dim
        super().__init__(config, processor, augment, unnorm_key, chunk_shape, *state_dims, learn_text)

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Collate a batch.

        Returns:
            `input_ids` and `attention_mask` (batch, length), padded on the right; `pixel_values` (batch, views, 3,
            height, width), or patches and their `image_grid_thw`; `proprio` (batch, proprio_dim) for a model with
            state; `actions` (batch, num_action_chunks, action_dim), normalised; and `time`, `noise`,
            `action_is_pad` as they came; with `learn_text` also `labels` and `answer_mask` (batch, length).

        Raises:
            InputError: an entry is missing or has the wrong form; the message names the example and the entry.
        """
        actions = self.actions(examples)
        draws = self.time_and_noise(examples) if self.config.action_head == "flow" else {}
        batch = self.inputs(examples, padding_side="right")
        return batch | self.answers(examples, batch) | {"actions": actions} | draws | self.padding(examples)
