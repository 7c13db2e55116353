"""What the collators of the robots' families share: views, instruction, state, and actions as the model sees them."""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from ..configuration.vla_errors import InputError
from ..modeling.action_normalization import find_statistics, normalize
from ..modeling.generation_settings import end_tokens
from ..processing.prompts import prompt_token_ids
from .action_chunks import ActionChunks
from .collator_answers import IGNORED, with_answers
from .collator_entries import (
    Augment,
    Example,
    advantages,
    check_range,
    embodiments,
    flags,
    given_numbers,
    numbers,
    sample_weights,
    texts,
    views,
)
from .example_columns import ExampleColumns

INSTRUCTION = "task"  # the column of LeRobot's datasets


class RobotCollator:
    """A subclass is called with a list of examples and returns the arguments of its model's `forward`.

    An example holds `images` (a list, or a dict with the main view named `primary`), `text`, `actions` (steps,
    action_dim) in robot units and, for a model that takes it, `state`; `action_is_pad` (steps,) is true on steps behind
    the end of an episode, which are not learnt. A model without state does not read one that is there, for most data
    sets have one. Examples of several datasets have an `unnorm_key` each; `sample_weight` (a number of 0 or more) is
    what an example weighs in the losses, where all of a batch have it; `advantage` is a word for its prompt;
    `embodiment_id` says whose encoders and decoders it is for, where a model has several.

    Args:
        config, processor: of the model; the processor prepares prompts, images and state as it does for predictions.
        augment: changes each view, PIL -> PIL; for training only.
        unnorm_key: the dataset of `config.norm_stats` whose statistics normalise actions and state of examples that do
            not say it themselves; may be left out where there is only one dataset, or where all examples do.
        learn_text: the language model learns to write the `answer` of each example that has one, behind its prompt.

    Raises:
        InputError: the statistics are not there, config and processor differ in the size of the state, or the family
            cannot learn what is asked for.
    """

    def __init__(
        self,
        config: Any,
        processor: Any,
        augment: Augment | None = None,
        unnorm_key: str | None = None,
        learn_text: bool = False,
    ):
        if config.state_size != processor.state_dim:
            raise InputError(
                f"the model's state has {config.state_size} values, the processor's {processor.state_dim}: they are "
                "not of one checkpoint."
            )
        self.config = config
        self.processor = processor
        self.augment = augment
        self.unnorm_key = unnorm_key
        self.learn_text = learn_text
        self.chunk_shape = config.num_action_chunks, config.action_dim
        if unnorm_key is not None or len(config.norm_stats) < 2:
            find_statistics(config.norm_stats, unnorm_key)  # before the first batch
        self.check()

    def examples_from(self, frames: Dataset, columns: ExampleColumns) -> ActionChunks:
        """The examples of a dataset that this collator takes; raises what `ActionChunks` raises."""
        robot = columns.embodiment or ("embodiment_id" if self.config.num_embodiments > 1 else None)
        return ActionChunks(
            frames,
            self.config.num_action_chunks,
            columns.images,
            columns.state,
            columns.action,
            columns.text or INSTRUCTION,
            repeat_last=columns.repeat_last,
            answer=columns.answer,
            weight=columns.weight,
            advantage=columns.advantage,
            embodiment=robot,
        )

    def check(self) -> None:
        """Raises InputError for what a family cannot learn."""

    def inputs(self, examples: Sequence[Example], **options: Any) -> dict[str, torch.Tensor]:
        """What the processor makes of a batch; options: further arguments of its call."""
        size = self.config.state_size
        state = None if size is None else numbers(examples, "state", (size,), torch.float64)
        options |= advantages(examples) | embodiments(examples, self.config.num_embodiments)
        batch = views(examples, self.augment, self.processor.view_names), texts(examples, "text")
        keys = self.unnorm_keys(examples)
        key = keys if len(set(keys)) > 1 else keys[0]
        return dict(self.processor(*batch, state=state, unnorm_key=key, **options))

    def answers(self, examples: Sequence[Example], batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The prompts of a batch with their answers behind them, `labels`, and the `answer_mask`; (batch, length) each.

        Empty where no text is learnt.
        """
        if not self.learn_text:
            return {}
        tokenizer, answers = self.processor.tokenizer, []
        for text in texts(examples, "answer", default=""):
            ids = prompt_token_ids(tokenizer, ["", ""], text, add_special_tokens=False) if text else []
            answers.append([*ids, *self.end_of_text] if text else [])
        found = with_answers(batch["input_ids"], batch["attention_mask"], answers, tokenizer)
        return found | {"answer_mask": (found["labels"] != IGNORED).long()}

    @property
    def end_of_text(self) -> list[int]:
        """The token behind every answer, in a list; an empty one for a tokenizer and a model without. `VLATrainer` lets
        `generate` stop there."""
        return [*end_tokens(self.processor.tokenizer.eos_token_id), *end_tokens(self.config.eos_token_id)][:1]

    def unnorm_keys(self, examples: Sequence[Example]) -> list[str | None]:
        """Whose statistics each example is normalised by."""
        return [example.get("unnorm_key", self.unnorm_key) for example in examples]

    def actions(self, examples: Sequence[Example]) -> torch.Tensor:
        """(batch, steps, action_dim) float32, normalised."""
        actions = numbers(examples, "actions", self.chunk_shape, torch.float64)
        rows = []
        for chunk, key in zip(actions, self.unnorm_keys(examples), strict=True):
            statistics = find_statistics(self.config.norm_stats, key)["action"]
            rows.append(normalize(chunk, statistics, self.config.normalization_type, clip_unmasked=False))
        return torch.stack(rows)

    def padding(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """`action_is_pad` (batch, steps) bool, if any example has it; those without have no padding."""
        return flags(examples, "action_is_pad", self.chunk_shape[0])

    @property
    def starts_from_noise(self) -> bool:
        """Whether a prediction begins with noise of the shape of a chunk, which it takes as `noise`."""
        return False

    def predicted(
        self,
        model: Any,
        examples: Sequence[Example],
        device: torch.device,
        noise: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """A model's predictions in robot units, (batch, steps, action_dim) float32 on the CPU.

        Args:
            noise: (batch, steps, action_dim) where they begin; not read by a model that begins with none.
            options: further arguments of `predict_action`.
        """
        keys, found = self.unnorm_keys(examples), torch.empty(len(examples), *self.chunk_shape, dtype=torch.float32)
        for key in dict.fromkeys(keys):
            rows = [i for i, own in enumerate(keys) if own == key]
            batch = self.inputs([examples[i] for i in rows])
            if noise is not None and self.starts_from_noise:
                batch["noise"] = noise[rows]
            batch = {name: value.to(device) for name, value in batch.items()}
            found[rows] = model.predict_action(**batch, unnorm_key=key, **options).cpu()
        return found

    def recorded(self, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        """The examples' actions in robot units, (batch, steps, action_dim), and which steps are padding, (batch, steps)
        bool."""
        padding = self.padding(examples).get("action_is_pad")
        none = torch.zeros(len(examples), self.chunk_shape[0], dtype=torch.bool)
        return numbers(examples, "actions", self.chunk_shape), none if padding is None else padding

    def prediction_errors(self, model: Any, examples: Sequence[Example], device: torch.device) -> torch.Tensor:
        """Absolute errors of a model's predictions in robot units, of all actions that are no padding, (n,)."""
        actions, is_pad = self.recorded(examples)
        return (self.predicted(model, examples, device) - actions).abs()[~is_pad].flatten()

    def actions_behind_prompts(self, examples: Sequence[Example], reads_draws: bool) -> dict[str, torch.Tensor]:
        """A batch for a head that learns `actions`, with the prompts' answers where text is learnt.

        reads_draws: the head reads `time` (batch,) and `noise` (batch, steps, action_dim) of flow matching, where the
            examples bring them.
        """
        actions = self.actions(examples)
        draws = flow_draws(examples, self.chunk_shape) if reads_draws else {}
        batch = self.inputs(examples, padding_side="right")
        learned = {"actions": actions} | draws | self.padding(examples) | sample_weights(examples)
        return batch | self.answers(examples, batch) | learned


def flow_draws(examples: Sequence[Example], noise_shape: Sequence[int]) -> dict[str, torch.Tensor]:
    """The entries `time` (batch,) in 0..1 and `noise` (batch, *noise_shape), each for all of a batch or for none."""
    found = given_numbers(examples, {"time": (), "noise": noise_shape})
    if "time" in found:
        check_range("time", found["time"], 0, 1)
    return found
