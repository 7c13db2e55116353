"""Batches for Alpamayo-R1: prompts with their reasoning, and the paths behind and ahead of the car."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from ...configuration.vla_errors import InputError
from ...processing.alpamayo_r1.special_tokens import SPECIAL_TOKENS, TRAJ_TOKEN
from ...processing.image_processing_alpamayo_r1 import read_frames
from ...processing.prompts import prompt_token_ids
from ..collator_answers import with_answers
from ..collator_entries import Augment, Example, entries, numbers, texts
from ..collator_robot import flow_draws

# What the model writes before the expert takes over.
ANSWER = SPECIAL_TOKENS["cot_start"] + "{reasoning}" + SPECIAL_TOKENS["cot_end"] + TRAJ_TOKEN["future_start"]
MARKER = re.compile(r"<\|\w+\|>|<i\d+>")
TOLERANCE = 1e-2  # metres, and entries of a rotation


class AlpamayoR1Collator:
    """A list of driving examples -> the arguments of `AlpamayoR1.forward`.

    An example holds `images`, `ego_history_xyz` (poses, 3), `ego_history_rot` (poses, 3, 3), `ego_future_xyz`
    (steps, 3) and `ego_future_rot` (steps, 3, 3), steps being `num_action_chunks`: metres and rotations in the frame of
    the last history pose. It may hold `text` (the request; the processor's by default), `reasoning` (empty by default),
    and `time` (0..1, 0 being noise) and `noise` (steps, 2) of the flow matching. The action space normalises the
    actions: there are no statistics.

    Args:
        config, processor: of the model.
        augment: changes each frame on its own, PIL -> PIL; for training only.
        learn_text: whether the language model learns to write the reasoning, too.
        unnorm_key: nothing but `None`, for there are no statistics.

    Raises:
        InputError: an `unnorm_key` was given, or the processor's prompts begin the answer with anything but
            `<|cot_start|>`.
    """

    def __init__(
        self,
        config: Any,
        processor: Any,
        augment: Augment | None = None,
        learn_text: bool = False,
        unnorm_key: str | None = None,
    ):
        if unnorm_key is not None:
            raise InputError(f"unnorm_key={unnorm_key!r}: an alpamayo_r1 has no statistics; leave it out.")
        if not ANSWER.startswith(processor.answer_start):
            raise InputError(
                f"answer_start={processor.answer_start!r} of the processor is not how an answer begins: {ANSWER!r}."
            )
        self.config = config
        self.processor = processor
        self.augment = augment
        self.learn_text = learn_text

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Collate a batch.

        Returns:
            `input_ids` and `attention_mask` (batch, length), padded on the right: each row is the prompt of
            `sample_trajectories`, the reasoning, `<|cot_end|>` and `<|traj_future_start|>`. `pixel_values` and
            `image_grid_thw` of all images; `ego_history_xyz` (batch, 1, poses, 3), `ego_history_rot` (batch, 1, poses,
            3, 3), `ego_future_xyz` (batch, steps, 3) and `ego_future_rot` (batch, steps, 3, 3) float32;
            with `learn_text` also `labels` (batch, length), -100 before the reasoning and on padding; and `time`,
            `noise` as they came.

        Raises:
            InputError: an entry is missing or has the wrong form; the message names the example and the entry.
        """
        history = self.poses(examples, "ego_history", self.history_steps)
        check_origin(*history.values())
        future = self.poses(examples, "ego_future", self.config.num_action_chunks)
        draws = flow_draws(examples, (self.config.num_action_chunks, 2))
        answers = self.answers(examples)
        requests = texts(examples, "text", default=self.processor.request)
        batch = dict(self.processor(self.frames(examples), *history.values(), text=requests, padding_side="right"))
        text = with_answers(batch["input_ids"], batch["attention_mask"], answers, self.processor.tokenizer)
        if not self.learn_text:
            del text["labels"]
        return batch | text | future | draws

    def predicted(self, model: Any, examples: Sequence[Example], device: torch.device, **sampling: Any) -> Any:
        """What `sample_trajectories` returns for the examples; sampling: further arguments of it."""
        return model.sample_trajectories(**self.scenes(examples).to(device), **sampling)

    def scenes(self, examples: Sequence[Example]) -> Any:
        """What the processor makes of a batch, for a prediction. Raises InputError as in a call."""
        history = self.poses(examples, "ego_history", self.history_steps)
        requests = texts(examples, "text", default=self.processor.request)
        return self.processor(self.frames(examples), *history.values(), text=requests)

    def recorded(self, examples: Sequence[Example]) -> torch.Tensor:
        """The path ahead of each example, (batch, steps, 3) metres."""
        return numbers(examples, "ego_future_xyz", (self.config.num_action_chunks, 3))

    def prediction_errors(self, model: Any, examples: Sequence[Example], device: torch.device) -> torch.Tensor:
        """Mean distance of one trajectory of a model to each example's future, metres, (batch,)."""
        output = self.predicted(model, examples, device, num_traj_samples=1, top_k=1)
        found = output.pred_xyz[:, 0, 0].cpu() - self.recorded(examples)
        return found[..., :2].norm(dim=-1).mean(dim=-1)

    @property
    def history_steps(self) -> int:
        """Poses of a history, whose tokens fill the places that the prompt has for them."""
        return self.processor.num_history_tokens // len(self.processor.history_values.bins.least)

    def poses(self, examples: Sequence[Example], name: str, steps: int) -> dict[str, torch.Tensor]:
        """`{name_xyz: (batch, steps, 3), name_rot: (batch, steps, 3, 3)}`."""
        shapes = {f"{name}_xyz": (steps, 3), f"{name}_rot": (steps, 3, 3)}
        return {part: numbers(examples, part, shape) for part, shape in shapes.items()}

    def frames(self, examples: Sequence[Example]) -> list[Any]:
        """The frames of every example as the processor reads them."""
        samples = [self.processor.in_order(sample) for sample in entries(examples, "images")]
        if self.augment is None:
            return samples
        return [[self.augment(Image.fromarray(frame)) for frame in read_frames(sample)] for sample in samples]

    def answers(self, examples: Sequence[Example]) -> list[list[int]]:
        """The ids of what follows the prompts; a reasoning with markers of its own would end or begin a part."""
        reasoning = texts(examples, "reasoning", default="")
        for i, text in enumerate(reasoning):
            marker = MARKER.search(text)
            if marker:
                raise InputError(f"examples[{i}]['reasoning'] holds the marker {marker[0]!r}; give the text alone.")
        prefix = self.processor.answer_start
        pieces = ANSWER.removeprefix(prefix).split("{reasoning}")
        tokenizer = self.processor.tokenizer
        return [prompt_token_ids(tokenizer, pieces, text.strip(), add_special_tokens=False) for text in reasoning]


def check_origin(xyz: torch.Tensor, rot: torch.Tensor) -> None:
    """Refuse histories (batch, poses, 3) and (batch, poses, 3, 3) that do not end in the frame they are given in."""
    away = xyz[:, -1].abs().amax(dim=1), (rot[:, -1] - torch.eye(3)).abs().amax(dim=(1, 2))
    for name, distance in zip(("ego_history_xyz", "ego_history_rot"), away, strict=True):
        wrong = (distance > TOLERANCE).nonzero().flatten().tolist()
        if wrong:
            raise InputError(
                f"examples[{wrong[0]}][{name!r}] does not end at the origin but {distance[wrong[0]]:g} away: all poses "
                "must be in the frame of the last history pose."
            )
