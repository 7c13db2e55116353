"""Recorded drives as driving examples: for each moment the frames and poses around it, as Alpamayo-R1 learns them."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from ...configuration.language_model_config import check_positive
from ...configuration.vla_errors import InputError
from ..action_chunks import (
    FRAME,
    TIMESTAMP,
    as_image,
    check_readable,
    optional_column,
    read_rows,
    require_columns,
    with_decoding,
)
from ..dataset_columns import check_texts, check_vectors, check_weights_of, column_names, joined
from ..episodes import check_frame_numbers, check_step, run_ends
from ..video_frames import image_columns
from .time_step import TIME_STEP

POSE = 7  # x y z qw qx qy qz
TOLERANCE = 1e-3  # of a quaternion's length
STEP_TOLERANCE = 0.01  # seconds by which the time between two rows may miss the model's


class DrivingScenes(torch.utils.data.Dataset):
    """Frames -> examples for `AlpamayoR1Collator`, one for each row with enough of its episode before and after it.

    An example holds `images` (a list for each camera, oldest frame first), `ego_history_xyz` (num_history, 3),
    `ego_history_rot` (num_history, 3, 3), `ego_future_xyz` (num_future, 3) and `ego_future_rot` (num_future, 3, 3), all
    float32 in metres in the frame of the row's own pose, which ends the history; and what the row has
    in the columns that are named.

    Poses are checked once, when it is made; images are read for one example at a time.
    """

    def __init__(
        self,
        frames: Dataset,
        pose: str | Sequence[str] = "observation.state",
        images: Sequence[str] | None = None,
        num_frames: int = 4,
        num_history: int = 16,
        num_future: int = 64,
        text: str | None = None,
        reasoning: str | None = None,
        episode: str = "episode_index",
        frame: str | None = FRAME,
        timestamp: str | None = TIMESTAMP,
        weight: str | None = None,
        advantage: str | None = None,
        nav_text: str | None = None,
    ) -> None:
        """
        Args:
            frames: one row for each 0.1 s of a drive, in the order of episode and time (`load_frames`).
            pose: column of x y z qw qx qy qz: metres and a unit quaternion, from the car's frame to any fixed one; or
                several that are joined to these in their order.
            images: columns of the cameras, as the model is to see them. `None`: all image and video columns.
            num_frames: frames of each camera; the last is the row's own.
            num_history, num_future: poses up to the row's own, and after it.
            text, reasoning: columns of the request and of the reasoning, if any; a row of null has none.
            episode: column with the number of the episode.
            weight: column of what each row weighs in the losses, a number of 0 or more; `None`: all alike.
            advantage: column of a word for the prompt, such as "positive"; a row without one has none.
            nav_text: column of where to drive, as Alpamayo 1.5 reads it; a row without has none.
            frame, timestamp: columns of the number and of the time (seconds) of each row in its episode. By default
                they are looked at where the frames have them; `None`: not.

        Raises:
            InputError: a column is missing or is not what it is taken for, a pose is not finite or its quaternion has
                not length 1, an episode is in two places, rows are out of order, missing or not 0.1 s apart, or no row
                has enough neighbours; ConfigError: a number is no whole one above 0.
        """
        for name, count in (("num_frames", num_frames), ("num_history", num_history), ("num_future", num_future)):
            check_positive(name, count)
        check_readable(frames)
        self.num_frames, self.num_history, self.num_future = num_frames, num_history, num_future
        self.images = image_columns(frames) if images is None else list(images)
        given = ("text", text), ("reasoning", reasoning), ("advantage", advantage), ("nav_text", nav_text)
        self.texts = {name: column for name, column in given if column}
        self.weight = weight
        entries = [*self.texts.values(), *([weight] if weight else [])]
        poses = column_names(pose)
        require_columns(frames, [*poses, episode, *self.images, *entries])
        if not self.images:
            raise InputError(f"none of the columns {frames.column_names} holds images; name them with images=[...].")
        check_texts(frames, [name for name in (text, advantage) if name], optional=True)
        if weight:
            check_weights_of(frames, weight)
        ends = run_ends(frames, episode)
        if column := optional_column(frames, frame, FRAME):
            check_frame_numbers(frames, ends, column)
        if column := optional_column(frames, timestamp, TIMESTAMP):
            check_step(frames, ends, column, TIME_STEP, STEP_TOLERANCE)
        self.rows = self.complete_rows(ends)
        self.xyz, self.rot = read_poses(frames, poses)
        plain = with_decoding(frames.with_format(None), self.images)
        self.views = plain.select_columns(self.images)
        self.entries = plain.select_columns(list(dict.fromkeys(entries))) if entries else None

    def complete_rows(self, ends: np.ndarray) -> np.ndarray:
        """The rows with enough neighbours; ends: the row after the last of each episode."""
        starts = np.concatenate([[0], ends[:-1]])
        before = max(self.num_history, self.num_frames) - 1
        spans = zip(starts + before, ends - self.num_future, strict=True)
        rows = np.concatenate([np.arange(first, stop) for first, stop in spans])
        if not len(rows):
            raise InputError(
                f"no row has {before} rows before and {self.num_future} after it in its episode; the longest episode "
                f"has {(ends - starts).max()} rows: recorded drives with longer episodes are needed."
            )
        return rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The example of the `index`'th complete row. Raises InputError where a row has no image."""
        row = int(self.rows[index])
        after = row + 1
        history = self.relative_poses(row, slice(after - self.num_history, after))
        future = self.relative_poses(row, slice(after, after + self.num_future))
        return {
            "images": self.frames_before(after),
            "ego_history_xyz": history[0],
            "ego_history_rot": history[1],
            "ego_future_xyz": future[0],
            "ego_future_rot": future[1],
            **self.entries_of(row),
        }

    def frames_before(self, after: int) -> list[list[Any]]:
        """The last frames before row `after`, those of each camera in a list, the oldest first."""
        rows = range(after - self.num_frames, after)
        shown = read_rows(self.views, list(rows), self.images)
        return [[as_image(*frame) for frame in zip(shown[name], repeat(name), rows)] for name in self.images]

    def relative_poses(self, row: int, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Positions (steps, 3) and rotations (steps, 3, 3) of `rows` in the frame of the pose of `row`, float32."""
        axes = self.rot[row]
        xyz, rot = (self.xyz[rows] - self.xyz[row]) @ axes, axes.T @ self.rot[rows]
        return xyz.astype(np.float32), rot.astype(np.float32)

    def entries_of(self, row: int) -> dict[str, Any]:
        """Texts and numbers of the row; a text that is None is left out."""
        if self.entries is None:
            return {}
        stored = self.entries[row]
        texts = {name: stored[column] for name, column in self.texts.items() if stored[column] is not None}
        weight = {"sample_weight": np.float32(np.squeeze(stored[self.weight]))} if self.weight else {}
        return texts | weight


def read_poses(frames: Dataset, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (rows, 3) and rotations (rows, 3, 3), float64: their frame may begin far away.

    Raises:
        InputError: a row has not seven finite numbers, or a quaternion of another length than 1.
    """
    check_vectors(frames, columns)
    column = " + ".join(columns)
    poses = joined(frames.select_columns(columns).with_format("arrow")[:], columns, np.float64)
    if poses.shape[1] != POSE:
        raise InputError(f"column {column!r} has {poses.shape[1]} numbers a row; x y z qw qx qy qz are needed.")
    length = np.linalg.norm(poses[:, 3:], axis=1)
    wrong = np.flatnonzero(np.abs(length - 1) > TOLERANCE)
    if wrong.size:
        raise InputError(
            f"column {column!r}: the quaternion {poses[wrong[0], 3:].tolist()} of row {wrong[0]} has length "
            f"{length[wrong[0]]:.4f}; qw qx qy qz must have length 1."
        )
    return poses[:, :3], rotations(poses[:, 3:] / length[:, None])


def rotations(quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions (rows, 4), w first -> rotation matrices (rows, 3, 3)."""
    w, x, y, z = quaternions.T
    matrix = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(matrix), -1, 0)
