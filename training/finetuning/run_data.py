"""The data of a fine-tune as a model of one config sees them: settled, and checked, before the model is loaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PretrainedConfig, ProcessorMixin, TrainingArguments

from ...configuration.view_names import record_views
from ..augmentation import RandomAugmentation
from ..collators import collator_for
from ..dataset_columns import camera_columns, check_texts, require_columns
from ..episodes import hold_out_episodes
from ..example_columns import ExampleColumns
from ..hub_dataset import dataset_folder
from ..lerobot import load_frames
from ..statistics import apply_statistics, run_statistics
from .options import ANSWER, INSTRUCTION, STATE, FinetuneOptions
from .unread_options import check_read


@dataclass
class RunData:
    """What is learnt, and how the model sees it.

    Attributes:
        examples, held_out: to learn from and to measure with; `held_out` may be `None`.
        statistics: `{unnorm_key: statistics}`; `None` for models that normalise by numbers of their own.
        images: columns of the views, main camera first; `views`: their names, in the same order.
        state: columns of the state, `None` without one.
        rows: of the dataset that are learnt from.
        assumed: sentences, one for each thing that nobody said.
    """

    examples: torch.utils.data.Dataset
    held_out: torch.utils.data.Dataset | None
    statistics: dict[str, Any] | None
    images: list[str]
    views: list[str]
    state: list[str] | None
    rows: int
    assumed: list[str] = field(default_factory=list)


def read_frames(options: FinetuneOptions, arguments: TrainingArguments) -> tuple[Dataset, Dataset | None]:
    """Rows to learn from, and those of the episodes that are held out, `None` without `eval_episodes`."""
    with arguments.main_process_first(desc="reading data"):
        frames = load_frames(options.dataset)
    if not options.eval_episodes:
        return frames, None
    return hold_out_episodes(frames, options.eval_episodes, arguments.seed)


def settle_data(
    frames: Dataset,
    held_out: Dataset | None,
    options: FinetuneOptions,
    config: PretrainedConfig,
    processor: ProcessorMixin,
    quiet: bool = False,
    progress: bool = True,
    begun_with: Path | None = None,
) -> RunData:
    """Examples, statistics and views; `config` and `processor` get the latter two.

    Args:
        quiet: do not say where the statistics come from; progress: show bars.
        begun_with: the file of the statistics that a run which goes on began with, in whose units it has learnt.

    Raises:
        InputError, ConfigError: columns are missing, an option is given that nothing reads, or sizes, views or
            statistics do not fit the model; the message names what the dataset has.
    """
    check_read(options, config)
    state = state_columns(frames, options)
    require_columns(frames, [*options.images, *texts_of(options, config)])
    assumed = assumptions(frames, options, config, state)
    statistics = None
    if config.normalization_type is not None:
        check_texts(frames, [instruction_of(options, config)])  # as the examples do, which wait for the statistics
        given = (begun_with, ()) if begun_with else (options.statistics, options.unmasked_actions)
        rows = len(frames) + len(held_out or ())
        statistics = run_statistics(frames, options.dataset, *given, options.action, state, quiet, progress, rows)
    images = camera_columns(frames, processor.view_names or config.view_names, options.images)
    views = apply_data(config, processor, statistics, images)
    collator, columns = collator_of(config, processor, options), columns_of(options, images, state)
    found = collator.examples_from(frames, columns)
    collator([found[0]])  # for what it refuses
    measured = held_out and collator.examples_from(held_out, columns)
    return RunData(found, measured, statistics, images, views, state, len(frames), assumed)


def apply_data(
    config: PretrainedConfig, processor: ProcessorMixin, statistics: dict[str, Any] | None, images: list[str]
) -> list[str]:
    """Let a config and a processor hold the run's statistics and views; returns the names of the views."""
    if statistics:
        apply_statistics(config, processor, *next(iter(statistics.items())))
    return record_views(config, processor, images)


def texts_of(options: FinetuneOptions, config: PretrainedConfig) -> list[str]:
    """Columns beside actions, state and images that the examples need."""
    named = options.weight_column, options.advantage_column, options.embodiment_column
    return [name for name in (instruction_of(options, config), *named) if name]


def instruction_of(options: FinetuneOptions, config: PretrainedConfig) -> str | None:
    """The column of the instruction; a car has none unless one is named."""
    return options.text or (None if config.normalization_type is None else INSTRUCTION)


def columns_of(options: FinetuneOptions, images: list[str], state: list[str] | None) -> ExampleColumns:
    """Those that the options name."""
    answer = (options.answer or ANSWER) if options.learn_text else None
    names = options.weight_column, options.advantage_column, options.embodiment_column, answer
    return ExampleColumns(images, state, options.action, options.text, *names, options.repeat_last)


def state_columns(frames: Dataset, options: FinetuneOptions) -> list[str] | None:
    """Those of the state; none where nobody asked for them and the dataset has none."""
    return None if options.state == [STATE] and STATE not in frames.column_names else options.state


def collator_of(config: PretrainedConfig, processor: ProcessorMixin, options: FinetuneOptions) -> Any:
    """The family's collator, which learns what the options say."""
    augment = RandomAugmentation() if options.augment else None
    if options.train == "vlm":
        learnt = {"learn_text": True, "learn_trajectory_text": True, "learn_actions": False}
    else:  # what only Alpamayo-R1 has is said only where it is asked for
        learnt = {
            "learn_text": options.learn_text,
            **({"learn_trajectory_text": True} if options.trajectory_text else {}),
        }
    return collator_for(config, processor, augment, **learnt)


def assumptions(
    frames: Dataset, options: FinetuneOptions, config: PretrainedConfig, state: list[str] | None
) -> list[str]:
    """What is taken for granted because nobody said it, as sentences."""
    found = []
    if not options.images and not config.view_names:
        found.append("views: all image columns in the dataset's order; --images names others, or another order")
    if config.normalization_type is not None:
        if state is None:
            found.append(f"state: none, for the dataset has no column {STATE}; --state names another")
        folder = dataset_folder(options.dataset) or options.dataset
        computed = not options.statistics and not Path(folder, "dataset_statistics.json").is_file()
        if computed and not options.unmasked_actions:
            found.append("actions: all dimensions are normalised, a gripper too; --unmasked-actions -1 leaves the last")
    elif "reasoning" not in frames.column_names:
        found.append("reasoning: none, for the dataset has no column of this name")
    if not options.eval_episodes:
        found.append("evaluation: none; --eval-episodes 0.1 holds a tenth of the episodes out")
    return found
