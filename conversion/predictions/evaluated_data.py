"""The recorded frames that a checkpoint is evaluated on, chosen and looked at before any weights are read."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...configuration.view_names import short_name
from ...configuration.vla_errors import InputError
from ...training.dataset_columns import camera_columns, require_columns
from ...training.episodes import hold_out_episodes
from ...training.hub_dataset import dataset_folder
from ...training.lerobot import load_frames
from ...training.open_loop import Samples, episodes_of
from ...training.video_frames import image_columns
from .flow_options import FLOW
from .processes import Processes

EPISODE = "episode_index"
SETTINGS = ("eval_episodes", "eval_seed", "stride", "max_samples", "batch_size", "seed", "dtype", "revision")
SETTINGS += ("advantage",)
SETTINGS += FLOW


@dataclass(frozen=True)
class EvaluatedData:
    """What is asked, and of which examples.

    Attributes:
        source: the dataset's folder, or its name where it has none.
        frames: the rows of the chosen episodes.
        views: the columns of the cameras, main camera first.
    """

    source: str
    frames: Dataset
    views: list[str]


def evaluated_data(arguments: argparse.Namespace, view_names: Sequence[str] | None, all_: Processes) -> EvaluatedData:
    """Load the frames that were asked for.

    view_names: of the checkpoint, where it records any.

    Raises:
        InputError: the dataset cannot be read, or has not the episodes or cameras that are asked for.
    """
    with all_.main_first():
        folder = dataset_folder(arguments.dataset, arguments.revision)
        frames = load_frames(folder or arguments.dataset, revision=None if folder else arguments.revision)
    require_columns(frames, [EPISODE])
    if arguments.episodes:
        frames = episodes_of(frames, arguments.episodes)
    elif arguments.eval_episodes is not None:
        _, frames = hold_out_episodes(frames, arguments.eval_episodes, arguments.eval_seed)
    views = camera_columns(frames, view_names, arguments.images)
    check_places(views, view_names)
    require_columns(frames, views)
    if len(set(views)) < len(views):
        raise InputError(f"--images {' '.join(views)}: a column is there twice; name one for each view.")
    if missing := [name for name in views if name not in image_columns(frames)]:
        raise InputError(f"--images: the columns {missing} hold no images; those that do are {image_columns(frames)}.")
    return EvaluatedData(str(folder or arguments.dataset), frames, views)


def check_places(columns: Sequence[str], view_names: Sequence[str] | None) -> None:
    """Refuse columns that are not as many as the views of a checkpoint, or are views of it at other places.

    view_names: in the order of the training; `None` where the checkpoint records none.

    Raises:
        InputError: the message names both.
    """
    if not view_names:
        return
    if len(columns) != len(view_names):
        raise InputError(
            f"--images names {len(columns)} columns, {list(columns)}; the checkpoint was trained with the views "
            f"{list(view_names)}: name a column for each, in this order."
        )
    for place, column in enumerate(columns):
        name = short_name(column)
        if name in view_names and view_names[place] != name:
            raise InputError(
                f"--images: {column} is in place {place}, where the checkpoint was trained with the view "
                f"{view_names[place]!r}: name the columns in the order of {list(view_names)}."
            )


def with_advantage(examples: list[dict], word: str | None) -> list[dict]:
    """The examples with the word for their prompts, where one was given."""
    return examples if word is None else [{**example, "advantage": word} for example in examples]


def settings_of(arguments: argparse.Namespace, data: EvaluatedData, options: Sequence[str]) -> dict[str, Any]:
    """How the figures came about, for the file."""
    given = {name: getattr(arguments, name) for name in (*SETTINGS, *options)}
    return {name: value for name, value in given.items() if value is not None} | {"images": data.views}


def described(arguments: argparse.Namespace, data: EvaluatedData, samples: Samples) -> dict[str, Any]:
    """What was evaluated on what."""
    checkpoint = arguments.checkpoint
    return {
        "checkpoint": Path(checkpoint).resolve().name if Path(checkpoint).exists() else checkpoint,
        "dataset": Path(data.source).resolve().name if Path(arguments.dataset).exists() else arguments.dataset,
        "samples": len(samples),
        "episodes": np.unique(samples.episode).tolist(),
    }


def json_ready(value: Any) -> Any:
    """Arrays as lists, numpy's numbers as Python's, and `None` in the place of NaN."""
    if isinstance(value, dict):
        return {name: json_ready(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return json_ready(value.tolist())
    return None if isinstance(value, float) and np.isnan(value) else value
