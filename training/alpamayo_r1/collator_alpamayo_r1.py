"""Batches for Alpamayo-R1: prompts with their reasoning, and the paths behind and ahead of the car."""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from transformers.utils import logging

from ...configuration.alpamayo_r1.trajectory_vocabulary import SPECIAL_TOKENS, TRAJ_TOKEN
from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.trajectory_text import future_tokenizer, is_of_trajectory
from ...modeling.alpamayo_r1.trajectory_tokenizers import DiscreteTrajectoryTokenizer
from ...processing.alpamayo_r1.route_and_question import MARKER
from ...processing.image_processing_alpamayo_r1 import read_frames
from ...processing.prompts import prompt_token_ids
from ..collator_answers import IGNORED, with_answers
from ..collator_entries import Augment, Example, advantages, entries, numbers, sample_weights, texts
from ..collator_robot import flow_draws
from ..example_columns import ExampleColumns
from .driving_scenes import DrivingScenes
from .question_examples import TURN_END, is_question, joined_rows, question_row, routes
from .time_step import check_time_step

# What the model writes before the expert takes over.
FUTURE = TRAJ_TOKEN["future_start"]
ANSWER = SPECIAL_TOKENS["cot_start"] + "{reasoning}" + SPECIAL_TOKENS["cot_end"] + FUTURE
TOLERANCE = 1e-2  # metres, and entries of a rotation

logger = logging.get_logger(__name__)


class AlpamayoR1Collator:
    """A list of driving examples -> the arguments of `AlpamayoR1.forward`.

    An example holds `images`, `ego_history_xyz` (poses, 3), `ego_history_rot` (poses, 3, 3), `ego_future_xyz`
    (steps, 3) and `ego_future_rot` (steps, 3, 3), steps being `num_action_chunks`: metres and rotations in the frame of
    the last history pose. It may hold `text` (the request; the processor's by default), `reasoning` (empty by default),
    `time` (0..1, 0 being noise) and `noise` (steps, 2) of the flow matching, `sample_weight`, what it weighs in the
    losses, `advantage`, a word for its prompt, and as Alpamayo 1.5 is trained `nav_text` and `camera_indices`, see the
    processor. The action space normalises the actions: there are no statistics.

    Or it holds `images`, `question` and `answer`, and perhaps `camera_indices` and `sample_weight`: with `learn_text`
    alone of what actions learn by, in a batch by themselves or among others.

    Args:
        config, processor: of the model.
        augment: changes each frame on its own, PIL -> PIL; for training only.
        learn_text: whether the language model learns to write the reasoning, too.
        learn_trajectory_text: whether it learns to write the future, too, as tokens behind the reasoning.
        learn_actions: whether the expert learns the future; without it what is left is text alone, which is the first
            stage of the published training with both others.
        with_reasoning: whether answers begin with a reasoning, be it empty; else, as the published recipe for
            navigation, with the future, and what examples have of a reasoning is left out. The `answer_start` of the
            processor is empty then, and its `request` "output the future trajectory.".
        unnorm_key: nothing but `None`, for there are no statistics.

    Raises:
        InputError: an `unnorm_key` was given, nothing is left to learn, or the processor's prompts begin the answer
            with anything but `<|cot_start|>`, or without reasoning at all; ConfigError where the config's tokens do not
            hold a future.
    """

    def __init__(
        self,
        config: Any,
        processor: Any,
        augment: Augment | None = None,
        learn_text: bool = False,
        unnorm_key: str | None = None,
        learn_trajectory_text: bool = False,
        learn_actions: bool = True,
        with_reasoning: bool = True,
    ):
        if unnorm_key is not None:
            raise InputError(f"unnorm_key={unnorm_key!r}: an alpamayo_r1 has no statistics; leave it out.")
        if not ANSWER.startswith(processor.answer_start):
            raise InputError(
                f"answer_start={processor.answer_start!r} of the processor is not how an answer begins: {ANSWER!r}."
            )
        if processor.answer_start and not with_reasoning:
            raise InputError(
                f"with_reasoning=False, but answer_start={processor.answer_start!r} of the processor opens one: give "
                "it answer_start='' and the request of such answers, 'output the future trajectory.'."
            )
        self.config = config
        self.processor = processor
        self.augment = augment
        self.learn_text = learn_text
        self.learn_actions = learn_actions
        self.with_reasoning = with_reasoning
        self.future_tokenizer = future_tokenizer(config) if learn_trajectory_text else None
        if not (learn_actions or learn_text or learn_trajectory_text):
            raise InputError("learn_actions=False leaves nothing to learn; add learn_trajectory_text=True.")

    def examples_from(self, frames: Dataset, columns: ExampleColumns) -> DrivingScenes:
        """The examples of a dataset that this collator takes, with its columns `reasoning` and `nav_text`, and as many
        poses as its model reads and predicts; raises what `DrivingScenes` and `check_time_step` raise."""
        check_time_step(self.config)
        texts_of = {name: name for name in ("reasoning", "nav_text") if name in frames.column_names}
        more = {"text": columns.text, "weight": columns.weight, "advantage": columns.advantage, **texts_of}
        steps = {"num_history": self.history_steps, "num_future": self.config.num_action_chunks}
        return DrivingScenes(frames, columns.state or (), columns.images, **steps, **more)

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Collate a batch.

        Returns:
            `input_ids` and `attention_mask` (batch, length), padded on the right: each row is the prompt of
            `sample_trajectories`, the reasoning and `<|cot_end|>` (see `with_reasoning`), `<|traj_future_start|>`, and
            with `learn_trajectory_text` the future's tokens, `<|traj_future_end|>` and the turn's end. `pixel_values`
            and `image_grid_thw` of all images; `ego_history_xyz` (batch, 1, poses, 3) and `ego_history_rot` (batch, 1,
            poses, 3, 3) float32; with `learn_actions` `ego_future_xyz` (batch, steps, 3) and `ego_future_rot` (batch,
            steps, 3, 3), and `time`, `noise` as they came; with `learn_text` or `learn_trajectory_text` `labels`, and
            with the latter `trajectory_labels`, (batch, length) each, see `labels_of`. `sample_weight` as it came.

        Raises:
            InputError: an entry is missing or has the wrong form; the message names the example and the entry.
        """
        if any(is_question(example) for example in examples):
            return self.with_questions(examples)
        history = self.poses(examples, "ego_history", self.history_steps)
        check_origin(*history.values())
        future = self.poses(examples, "ego_future", self.config.num_action_chunks)
        draws = flow_draws(examples, (self.config.num_action_chunks, 2))
        answers = self.answers(examples, history, future)
        requests = texts(examples, "text", default=self.processor.request)
        words = {"text": requests} | advantages(examples) | routes(examples, self.processor.view_names)
        batch = dict(self.processor(self.frames(examples), *history.values(), **words, padding_side="right"))
        text = with_answers(batch["input_ids"], batch["attention_mask"], answers, self.processor.tokenizer)
        text |= self.labels_of(
            text.pop("labels"), text["input_ids"], [example.get("reasoning") is not None for example in examples]
        )
        return batch | text | (future | draws if self.learn_actions else {}) | sample_weights(examples)

    def with_questions(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """As `__call__`, of examples of which some ask: all that is learnt is text, and paths are in their prompts.

        Raises:
            InputError: actions are learnt, too, text is not, or an entry is missing.
        """
        if self.learn_actions or not self.learn_text:
            raise InputError(
                "examples with a question teach text alone: collate them with learn_text=True and learn_actions=False."
            )
        frames, processor = self.frames(examples), self.processor
        rows = [
            question_row(processor, example, images) if is_question(example) else self([example])
            for example, images in zip(examples, frames, strict=True)
        ]
        return joined_rows(rows, processor.tokenizer) | sample_weights(examples)

    def labels_of(
        self, labels: torch.LongTensor, input_ids: torch.LongTensor, reasons: Sequence[bool]
    ) -> dict[str, torch.LongTensor]:
        """What is learnt of the answers, `labels` (batch, length), split as the model's losses are.

        With `learn_trajectory_text` all of the turn is learnt, as published: the future with its markers
        (`trajectory_labels`), the end of the turn and, with `learn_text`, the reasoning with its markers. An example
        without an entry `reasoning` teaches none, not that there is nothing to say. reasons: whether there is one.
        """
        if self.future_tokenizer is None:
            return {"labels": labels} if self.learn_text else {}
        is_future = is_of_trajectory(labels, self.config)
        others = labels.masked_fill(is_future, IGNORED)
        is_reasoning = (labels != IGNORED) & (is_future.flip(1).cumsum(1).flip(1) > 0)
        if self.processor.answer_start:  # the token that opens the reasoning ends the prompt
            first = is_reasoning.int().argmax(dim=1, keepdim=True) - 1
            others = others.scatter(1, first, input_ids.gather(1, first))
            is_reasoning = is_reasoning.scatter(1, first, True)
        learnt = torch.tensor([self.learn_text and each for each in reasons])[:, None]
        others = others.masked_fill(is_reasoning & ~learnt, IGNORED)
        return {"labels": others, "trajectory_labels": labels.masked_fill(~is_future, IGNORED)}

    def predicted(self, model: Any, examples: Sequence[Example], device: torch.device, **sampling: Any) -> Any:
        """What `sample_trajectories` returns for the examples; sampling: further arguments of it.

        Where the expert does not learn, the language model writes the trajectories, as `write_trajectories` does.
        """
        predict = model.sample_trajectories if self.learn_actions else model.write_trajectories
        return predict(**self.scenes(examples).to(device), **sampling)

    def scenes(self, examples: Sequence[Example]) -> Any:
        """What the processor makes of a batch, for a prediction. Raises InputError as in a call."""
        history = self.poses(examples, "ego_history", self.history_steps)
        words = {"text": texts(examples, "text", default=self.processor.request)} | advantages(examples)
        words |= routes(examples, self.processor.view_names)
        return self.processor(self.frames(examples), *history.values(), **words)

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
        return [augmented(sample, self.augment) for sample in samples]

    def answers(
        self, examples: Sequence[Example], history: dict[str, torch.Tensor], future: dict[str, torch.Tensor]
    ) -> list[list[int]]:
        """The ids of what follows the prompts; a reasoning with markers of its own would end or begin a part."""
        reasoning = texts(examples, "reasoning", default="")
        for i, text in enumerate(reasoning):
            marker = MARKER.search(text)
            if marker:
                raise InputError(f"examples[{i}]['reasoning'] holds the marker {marker[0]!r}; give the text alone.")
        prefix = self.processor.answer_start
        pieces = (ANSWER.removeprefix(prefix) if self.with_reasoning else FUTURE).split("{reasoning}")
        tokenizer = self.processor.tokenizer
        said = [[text.strip()] if self.with_reasoning else [] for text in reasoning]
        rows = [prompt_token_ids(tokenizer, pieces, parts, add_special_tokens=False) for parts in said]
        if self.future_tokenizer is None:
            return rows
        warn_of_cut(self.future_tokenizer, (*history.values(), *future.values()))
        values = self.future_tokenizer.encode(*history.values(), *future.values()) + self.config.traj_token_start_idx
        end = [self.config.traj_token_ids["future_end"], tokenizer.convert_tokens_to_ids(TURN_END)]
        return [row + future + end for row, future in zip(rows, values.tolist(), strict=True)]


def warn_of_cut(tokenizer: DiscreteTrajectoryTokenizer, poses: Sequence[torch.Tensor]) -> None:
    """Say once that futures to learn as tokens accelerate or turn more than the tokens can say; poses: of `encode`."""
    values = tokenizer.action_space.traj_to_action(*poses)
    if (outside := tokenizer.bins.outside(values)).any():
        logger.warning_once(
            f"{outside.float().mean():.1%} of a batch's accelerations and curvatures lie beyond the range of "
            f"traj_tokenizer_cfg ({list(tokenizer.bins.least)} to {list(tokenizer.bins.greatest)}; these reach "
            f"{values.min():.4g} to {values.max():.4g}) and get the tokens at its ends: are the poses in metres, "
            "and 0.1 s apart?"
        )


def augmented(images: Any, augment: Augment) -> Any:
    """Images of one sample, each changed on its own, in lists as they were grouped."""
    if isinstance(images, (list, tuple)) or getattr(images, "ndim", 0) > 3:
        return [augmented(entry, augment) for entry in images]
    (frame,) = read_frames(images)
    return augment(Image.fromarray(frame))


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
