"""Robot examples: what was seen at one frame, and the actions from there on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from PIL import Image

from ..configuration.vla_errors import ImageFileError, InputError
from ..processing.image_reader import BROKEN_FILE
from .video_frames import image_columns

PASSED_ON = ("time", "noise", "timesteps")  # what a model's forward takes where the data has it
BATCH = 10_000  # rows; only numbers are read in batches


class ActionChunks(torch.utils.data.Dataset):
    """Frames -> examples for the collators: images, text, state and the next actions, for every frame.

    Past the end of an episode its last action is repeated, as LeRobot does; OpenVLA-OFT leaves out the rows at the end
    of an episode that have no full chunk, so that its models see no last steps. Rows of one episode must follow each
    other: an episode in two runs of rows is refused, because the frames were shuffled then, or two datasets joined
    whose episodes have the same numbers.

    Numbers are checked once, when it is made; images are read one row at a time.
    """

    def __init__(
        self,
        frames: Dataset,
        num_action_chunks: int,
        images: Sequence[str] | None = None,
        state: str | None = None,
        action: str = "action",
        text: str = "task",
        episode: str = "episode_index",
    ) -> None:
        """
        Args:
            frames: one row a frame, in the order of episode and frame (`load_frames`).
            num_action_chunks: actions in one example.
            images: columns of the views, main camera first. `None`: all image and video columns in their order but
                those that a LeRobot dataset calls depth maps.
            state: column of the robot's state, in LeRobot "observation.state". `None`: no state.
            action, text, episode: columns of action, instruction and number of the episode.

        Raises:
            InputError: a column is missing, is not what it is taken for, or holds numbers that are not finite.
        """
        if num_action_chunks < 1:
            raise InputError(f"num_action_chunks={num_action_chunks} must be at least 1.")
        if frames.format["type"] == "custom":
            raise InputError("the frames have a transform, which would not be run here; use frames.map() instead.")
        self.images = image_columns(frames) if images is None else list(images)
        self.num_action_chunks, self.state, self.action, self.text = num_action_chunks, state, action, text
        self.passed_on = [name for name in PASSED_ON if name in frames.column_names]
        once = [*self.images, text, *([state] if state else []), *self.passed_on]
        require_columns(frames, [*once, action, episode])
        if not self.images:
            raise InputError(f"none of the columns {frames.column_names} holds images; name them with images=[...].")
        if len(frames) == 0:
            raise InputError("the frames have no rows.")
        for column in [action, *([state] if state else [])]:
            check_vectors(frames, column)
        self.rows = frames.with_format(None).select_columns(list(dict.fromkeys(once)))
        self.actions = frames.select_columns([action]).with_format("arrow")
        self.ends = run_ends(frames, episode)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`{"images": [...], "text", "actions": (num_action_chunks, action_dim)}`, and "state", "time", ... if any.

        Raises InputError where the row has no image, one that cannot be read, or no instruction.
        """
        index = range(len(self))[index]
        row = read_rows(self.rows, index, self.images)
        if not isinstance(row[self.text], str):
            raise InputError(f"column {self.text!r} has no text in row {index}: {row[self.text]!r}.")
        example = {
            "images": [as_image(row[name], name, index) for name in self.images],
            "text": row[self.text],
            "actions": self.chunk(index),
        }
        if self.state:
            example["state"] = np.asarray(row[self.state], dtype=np.float32)
        for name in self.passed_on:
            example[name] = as_numbers(row[name], name, index)
        return example

    def chunk(self, index: int) -> np.ndarray:
        """The actions from row `index` on, (num_action_chunks, action_dim) float32."""
        stop = min(index + self.num_action_chunks, self.ends[np.searchsorted(self.ends, index, side="right")])
        actions = vectors(self.actions[index:stop].column(0))
        return np.pad(actions, ((0, self.num_action_chunks - len(actions)), (0, 0)), mode="edge")


def require_columns(frames: Dataset, names: Sequence[str]) -> None:
    """Raises InputError unless the frames have these columns."""
    missing = [name for name in names if name not in frames.column_names]
    if missing:
        raise InputError(f"the frames have no columns {missing}; they have {frames.column_names}.")


def run_ends(frames: Dataset, column: str) -> np.ndarray:
    """For each run of rows of one episode the row after its last. Raises InputError for an episode in two runs."""
    episode = frames.select_columns([column]).with_format("arrow")[:].column(0).to_numpy()
    starts = (
        np.flatnonzero(np.concatenate([[True], episode[1:] != episode[:-1]])) if len(episode) else np.array([], int)
    )
    numbers, counts = np.unique(episode[starts], return_counts=True)
    if (counts > 1).any():
        number = numbers[counts.argmax()]
        rows = starts[episode[starts] == number][:2].tolist()
        raise InputError(
            f"column {column!r}: episode {number} begins in row {rows[0]} and again in row {rows[1]}. Frames must be "
            "in the order of episode and frame, and episodes of joined datasets must have numbers of their own."
        )
    return np.append(starts[1:], len(episode))


def check_vectors(frames: Dataset, column: str) -> None:
    """Raises InputError unless every row of the column is a vector of finite numbers, all of one length."""
    size, first = None, 0
    for batch in frames.select_columns([column]).with_format("arrow").iter(BATCH):
        values = batch.column(0)
        kind = values.type
        if not is_list(kind) or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
            raise InputError(f"column {column!r} must hold vectors of numbers, not {kind}.")
        lengths = pc.fill_null(pc.list_value_length(values), -1).to_numpy()
        size = lengths[0] if size is None else size
        other = np.flatnonzero((lengths != size) | (lengths < 1))
        if other.size:
            found = max(lengths[other[0]], 0)
            raise InputError(f"column {column!r} has {found} numbers in row {first + other[0]}, {size} in row 0.")
        bad = np.flatnonzero(~np.isfinite(vectors(values)).all(axis=1))
        if bad.size:
            values = values[int(bad[0])].as_py()
            raise InputError(f"column {column!r} is not finite in row {first + bad[0]}: {values}.")
        first += len(lengths)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists, of one length or not."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def vectors(column: pa.ChunkedArray) -> np.ndarray:
    """Rows of vectors of one length -> (rows, length) float32; a null among the numbers becomes NaN."""
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return np.concatenate(flat).astype(np.float32).reshape(len(column), -1)


def read_rows(frames: Dataset, index: int | list[int], images: Sequence[str]) -> dict[str, Any]:
    """One row, or the lists of several. Raises ImageFileError where an image is broken or too large.

    `datasets` says nothing of column and row; the columns are read one by one to find it.
    """
    try:
        return frames[index]
    except InputError:
        raise
    except (Image.DecompressionBombError, *BROKEN_FILE) as error:
        for row in index if isinstance(index, list) else [index]:
            for name in images:
                try:
                    frames.select_columns([name])[row]
                except (Image.DecompressionBombError, *BROKEN_FILE) as reason:
                    raise ImageFileError(f"column {name!r} has no readable image in row {row}: {reason}") from reason
        raise ImageFileError(f"the frames cannot be read in row {index}: {error}") from error


def as_image(value: Any, column: str, row: int) -> Image.Image | np.ndarray:
    """A PIL image or uint8 array (height, width, 3) as it is; nested lists of 0..255 of that shape become one."""
    if isinstance(value, Image.Image):
        return value
    try:
        pixels = np.asarray(value)
    except ValueError:  # lists of different lengths
        pixels = np.empty(0)
    if pixels.dtype.kind not in "iu" or pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise InputError(f"column {column!r} has no image in row {row}, but {type(value).__name__} {pixels.shape}.")
    if pixels.min() < 0 or pixels.max() > 255:
        raise InputError(f"column {column!r} has pixels beyond 0..255 in row {row}.")
    return pixels.astype(np.uint8, copy=False)


def as_numbers(value: Any, column: str, row: int) -> int | float | np.ndarray:
    """A number as it is, a nested list as float32. Raises InputError unless all is finite."""
    try:
        numbers = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {column!r} must hold numbers in row {row}: {error}") from error
    if not np.isfinite(numbers).all():
        raise InputError(f"column {column!r} is not finite in row {row}: {value!r}.")
    return numbers if numbers.ndim else value
