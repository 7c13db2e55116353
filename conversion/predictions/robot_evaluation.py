"""Errors of a robot's policy on recorded episodes, in open loop: predicted, counted, printed and drawn."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig

from ...configuration.vla_errors import InputError
from ...modeling.action_normalization import find_statistics
from ...training.action_chunks import ActionChunks
from ...training.action_errors import action_errors, executed_actions
from ...training.collators import RobotCollator, collator_for
from ...training.dataset_columns import check_texts
from ...training.dimension_names import dimension_names, dimension_units, frames_per_second
from ...training.gripper_events import gripper_events
from ...training.open_loop import Samples, noise_for, predicted_in_batches, samples_of
from ..table_lines import Column, Table
from ..terminal import show
from .action_plot import plot_actions
from .checkpoint_loading import load_config, load_model, load_processor
from .evaluated_data import (
    EvaluatedData,
    described,
    evaluated_data,
    json_ready,
    settings_of,
    with_advantage,
)
from .flow_options import flow_options
from .processes import Processes, joined_processes

ACTION, STATE, TEXT = "action", "observation.state", "task"
DRAWN_EPISODES = 3


@dataclass(frozen=True)
class Task:
    """A checkpoint, without its weights, and the recorded chunks that it is asked for."""

    collator: RobotCollator
    data: EvaluatedData
    examples: ActionChunks
    samples: Samples
    names: list[str]
    grippers: list[int]


def evaluate_actions(folder: Path, arguments: argparse.Namespace, plot: Path | None = None) -> dict[str, Any]:
    """Predict the chunks of recorded frames, and print how far they are from the recorded ones.

    Args:
        folder: of a checkpoint.
        arguments: of `vlahub evaluate`.
        plot: where to draw the picture.

    Returns:
        what is written, see docs/evaluation.md; empty in all processes but the first.

    Raises:
        InputError: the dataset does not fit the model; nothing was predicted.
        NonFiniteError: a prediction is not finite.
    """
    with joined_processes(arguments.device) as processes:
        task = prepared(folder, arguments, processes)
        chunks = predicted_chunks(folder, task, arguments, processes)
        if not processes.is_main:
            return {}
    result, actions = figures(task, chunks, arguments)
    settings = settings_of(arguments, task.data, ("unnorm_key", "embodiment_id", "embodiment_column"))
    result = json_ready(described(arguments, task.data, task.samples) | {"settings": settings} | result)
    if not arguments.quiet:
        print_result(result)
    if plot:
        source, columns = task.data.source, arguments.action or [ACTION]
        units = dimension_units(source, columns, len(task.names))
        plot_actions(plot, actions, result, units, frames_per_second(source), DRAWN_EPISODES)
    return result


def prepared(folder: Path, arguments: argparse.Namespace, processes: Processes) -> Task:
    """All that can be looked at before the weights are read, with the first example brought to the model's form.

    Raises:
        InputError: what is asked for does not fit; the message says what.
    """
    processor, config = load_processor(folder), load_config(folder)
    if config.predicts != "actions":
        raise InputError(f"{arguments.checkpoint} has no action expert: it predicts {config.predicts}, and no actions.")
    statistics = find_statistics(config.norm_stats, arguments.unnorm_key)["action"]
    collator = collator_for(config, processor, unnorm_key=arguments.unnorm_key)
    flow_options(config, vars(arguments))
    if arguments.state and not config.state_size:
        raise InputError("--state: this model was trained without a state; leave it out.")
    if arguments.gripper_tolerance < 0:
        raise InputError(f"--gripper-tolerance {arguments.gripper_tolerance} must be 0 or more frames.")
    data = evaluated_data(arguments, processor.view_names or config.view_names, processes)
    action = arguments.action or [ACTION]
    state = arguments.state or ([STATE] if config.state_size and STATE in data.frames.column_names else None)
    text = arguments.text or TEXT
    check_texts(data.frames, [text])
    embodiment = chosen_embodiment(arguments, config.num_embodiments)
    columns = data.views, state, action, text
    examples = ActionChunks(data.frames, config.num_action_chunks, *columns, embodiment=embodiment)
    samples = samples_of(data.frames, np.arange(len(examples)), arguments.stride, arguments.max_samples)
    first = [examples[int(samples.index[0])]]
    check_widths(first[0], config, action, state)
    collator.recorded(first)
    collator.inputs(with_advantage(first, arguments.advantage))
    names = dimension_names(data.source, action, config.action_dim)
    return Task(collator, data, examples, samples, names, gripper_dimensions(arguments.gripper, names, statistics))


def check_widths(
    example: Mapping[str, Any], config: PretrainedConfig, action: Sequence[str], state: Sequence[str] | None
) -> None:
    """Raises InputError where columns have another number of values in a row than the model reads or predicts."""
    wanted = {"action": (action, "actions", config.action_dim)}
    if state and config.state_size:
        wanted["state"] = state, "state", config.state_size
    for part, (columns, name, size) in wanted.items():
        shape = tuple(example[name].shape)
        if shape[-1] != size:
            needed = (*shape[:-1], size)
            raise InputError(
                f"--{part}-column {' '.join(columns)}: examples[0][{name!r}] has shape {shape}; {needed} is needed: "
                f"the {part} of this model has {size} numbers; name other columns."
            )


def chosen_embodiment(arguments: argparse.Namespace, count: int) -> str | int | None:
    """The column of the robots' numbers, or that of all frames; none for a model of one robot.

    Raises:
        InputError: both are given, or one to a model of one robot.
    """
    column, number = arguments.embodiment_column, arguments.embodiment_id
    if count == 1 and (column is not None or number is not None):
        given = f"--embodiment-id {number}" if column is None else f"--embodiment-column {column}"
        raise InputError(f"{given}: this model has one embodiment; leave it out.")
    if column is not None and number is not None:
        raise InputError(
            f"--embodiment-column {column}, --embodiment-id {number}: both say whose; leave one of them out."
        )
    return None if count == 1 else (column or "embodiment_id") if number is None else number


def gripper_dimensions(given: Sequence[int] | None, names: Sequence[str], statistics: dict[str, Any]) -> list[int]:
    """Which dimensions of the actions are grippers: those given, those named so, those that pass unchanged, the last.

    Raises:
        InputError: a dimension is given that there is not.
    """
    size = len(names)
    if wrong := [number for number in given or () if not -size <= number < size]:
        raise InputError(f"--gripper {wrong[0]}: the actions have {size} dimensions, 0 to {size - 1}.")
    named = [i for i, name in enumerate(names) if "gripper" in name.lower()]
    unchanged = [i for i, is_normalised in enumerate(statistics.get("mask") or ()) if not is_normalised]
    return sorted({number % size for number in given or named or unchanged or [-1]})


def predicted_chunks(
    folder: Path, task: Task, arguments: argparse.Namespace, processes: Processes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and recorded actions (samples, steps, dimensions) and padding (samples, steps), in every process."""
    collator, device = task.collator, torch.device(processes.device)
    model = load_model(folder, processes.device, arguments.dtype, arguments.fast, arguments.quiet)
    options = flow_options(collator.config, vars(arguments))

    def predict(batch: list[dict], samples: Samples) -> list[tuple[np.ndarray, ...]]:
        noise = noise_for(samples, arguments.seed, collator.chunk_shape)
        batch = with_advantage(batch, arguments.advantage)
        predicted = collator.predicted(model, batch, device, noise, **options)
        return [tuple(part.numpy() for part in row) for row in zip(predicted, *collator.recorded(batch), strict=True)]

    part, progress = (processes.rank, processes.count), processes.is_main and not arguments.quiet
    asked = task.examples, task.samples, arguments.batch_size, arguments.seed
    found = predicted_in_batches(predict, *asked, device, part, arguments.num_workers, progress)
    predicted, recorded, is_pad = (np.stack(part) for part in zip(*found, strict=True))
    return predicted, recorded, is_pad


def figures(task: Task, chunks: tuple[np.ndarray, ...], arguments: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """The errors, and the actions that would have been executed."""
    episodes = task.samples.episode
    actions = executed_actions(episodes, task.samples.frame, *chunks)
    grippers = []
    for i in task.grippers:
        found = gripper_events(actions, i, arguments.gripper_tolerance, arguments.gripper_threshold)
        grippers.append({"dimension": i, "name": task.names[i], **found})
    per_episode = []
    for episode in np.unique(episodes):
        rows = episodes == episode
        errors = action_errors(*(part[rows] for part in chunks))
        per_episode.append({"episode": episode, "samples": rows.sum(), "action_error": errors["action_error"]})
        per_episode[-1]["mae"] = errors["mae"]
    more = {"dimensions": task.names, "per_episode": per_episode, "gripper": grippers}
    return action_errors(*chunks) | more, actions


def print_result(result: dict[str, Any]) -> None:
    """The figures as a table."""
    kinds = result["dimensions"], result["mae"], result["rmse"], result["recorded_std"]
    rows = [[name, *(f"{value:.5g}" for value in values)] for name, *values in zip(*kinds, strict=True)]
    steps = [(step, mae) for step, mae in enumerate(result["per_step"]["mae"]) if mae[0] is not None]
    rows += [[f"step {step}", f"{np.mean(mae):.5g}", "", ""] for step, mae in steps]
    numbers = [Column(name, right=True, width=11) for name in ("MAE", "RMSE", "std")]
    show(Table([Column("dimension", width=15), *numbers], rows))
    for found in result["gripper"]:
        print(gripper_line(found))
    count = sum(result["per_step"]["count"])
    where = f"{result['samples']} chunks, {count} actions of {len(result['episodes'])} episodes"
    print(f"action error {result['action_error']:.5g} ({where})")


def gripper_line(found: dict[str, Any]) -> str:
    """One gripper in words."""
    if found["threshold"] is None:
        return f"gripper {found['name']}: the recording never moves it"
    scores = " ".join(
        f"{name} {'-' if found[name] is None else format(found[name], '.3f')}"
        for name in ("precision", "recall", "f1", "accuracy")
    )
    events = f"{found['matched']} of {found['recorded']} switches met, {found['predicted']} predicted"
    return (
        f"gripper {found['name']}: {events}; {scores} (threshold {found['threshold']:.4g}, {found['tolerance']} frames)"
    )
