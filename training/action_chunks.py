"""Robot examples: what was seen at one frame, and the actions from there on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image

from ..configuration.vla_errors import ImageFileError, InputError
from .dataset_columns import check_texts, check_vectors, check_weights_of, column_names, joined, require_columns
from .episodes import check_frame_numbers, check_times, run_ends
from .video_frames import image_columns

FRAME, TIMESTAMP = "frame_index", "timestamp"  # LeRobot's columns


class ActionChunks(torch.utils.data.Dataset):
    """Frames -> examples for the collators: images, text, state and the next actions, for every frame.

    Past the end of an episode its last action is repeated and marked as padding, which models do not learn, as LeRobot
    does; OpenVLA-OFT leaves out the rows at the end of an episode that have no full chunk, so that its models see no
    last steps. Rows of one episode must follow each
    other without gaps, by their frame numbers and times: an episode in two runs of rows is refused, because the frames
    were shuffled then, or two datasets joined whose episodes have the same numbers.

    Numbers, instructions and words for prompts are checked once, when it is made; images are read one row at a time.
    """

    def __init__(
        self,
        frames: Dataset,
        num_action_chunks: int,
        images: Sequence[str] | None = None,
        state: str | Sequence[str] | None = None,
        action: str | Sequence[str] = "action",
        text: str = "task",
        episode: str = "episode_index",
        frame: str | None = FRAME,
        timestamp: str | None = TIMESTAMP,
        unnorm_key: str | None = None,
        repeat_last: bool = False,
        answer: str | None = None,
        weight: str | None = None,
        advantage: str | None = None,
        embodiment: str | int | None = None,
    ) -> None:
        """
        Args:
            frames: one row a frame, in the order of episode and frame (`load_frames`).
            num_action_chunks: actions in one example.
            images: columns of the views, main camera first. `None`: all image and video columns in their order but
                those that a LeRobot dataset calls depth maps.
            state: column of the robot's state, in LeRobot "observation.state", or several that are joined to one
                vector in this order. `None`: no state.
            action: column of the action, or several to be joined, such as `["action.arm", "action.gripper"]`. A column
                of single numbers is one of vectors of length 1.
            text, episode: columns of instruction, which every row needs, and number of the episode.
            frame, timestamp: columns of the number and of the time (seconds) of each frame in its episode. By default
                they are looked at where the frames have them; `None`: not.
            unnorm_key: of the dataset's statistics; every example says it, so that a batch may be of several datasets.
            answer: column of a text that the language model learns to write beside the actions (`collator_for(...,
                learn_text=True)`); a row without one has none.
            weight: column of what each row weighs in the losses, a number of 0 or more, such as an exponential of its
                advantage; `None`: all alike.
            advantage: column of a word for the prompt, such as "positive"; a row without one has none.
            embodiment: column of the `embodiment_id` of each row, or that of all rows, for models of several.
            repeat_last: let models learn to repeat the last action of an episode.

        Raises:
            InputError: a column is missing, is not what it is taken for, or holds numbers that are not finite, a row
                has no instruction or an empty one, or the rows of an episode are not in order or have gaps.
        """
        if num_action_chunks < 1:
            raise InputError(f"num_action_chunks={num_action_chunks} must be at least 1.")
        check_readable(frames)
        self.repeat_last, self.weight, self.embodiment = repeat_last, weight, embodiment
        self.texts = {name: column for name, column in (("answer", answer), ("advantage", advantage)) if column}
        self.images = image_columns(frames) if images is None else list(images)
        self.num_action_chunks, self.text, self.unnorm_key = num_action_chunks, text, unnorm_key
        self.state = column_names(state) if state else []
        self.action = column_names(action)
        named = [*self.texts.values(), *(column for column in (weight, embodiment) if isinstance(column, str))]
        once = [*self.images, text, *self.state, *named]
        require_columns(frames, [*once, *self.action, episode])
        if not self.images:
            raise InputError(f"none of the columns {frames.column_names} holds images; name them with images=[...].")
        if len(frames) == 0:
            raise InputError("the frames have no rows.")
        check_texts(frames, [text])
        check_texts(frames, [advantage] if advantage else [], optional=True)
        check_vectors(frames, [*self.action, *self.state])
        if weight:
            check_weights_of(frames, weight)
        self.rows = with_decoding(frames.with_format(None), self.images).select_columns(list(dict.fromkeys(once)))
        self.actions = frames.select_columns(self.action).with_format("arrow")
        self.ends = run_ends(frames, episode)
        if column := optional_column(frames, frame, FRAME):
            check_frame_numbers(frames, self.ends, column)
        if column := optional_column(frames, timestamp, TIMESTAMP):
            check_times(frames, self.ends, column)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`{"images": [...], "text", "actions": (num_action_chunks, action_dim), "action_is_pad":
        (num_action_chunks,)}`, and "state", "answer", ... of the columns that were named.

        Raises InputError where the row has no image, or one that cannot be read.
        """
        index = range(len(self))[index]
        row = read_rows(self.rows, index, self.images)
        example = {
            "images": [as_image(row[name], name, index) for name in self.images],
            "text": row[self.text],
            "actions": self.chunk(index),
        }
        if not self.repeat_last:
            example["action_is_pad"] = np.arange(self.num_action_chunks) >= self.stop(index) - index
        if self.state:
            example["state"] = np.concatenate([np.array(row[name], np.float32, ndmin=1) for name in self.state])
        example |= {name: row[column] for name, column in self.texts.items() if row[column] is not None}
        if self.unnorm_key is not None:
            example["unnorm_key"] = self.unnorm_key
        if self.weight:
            example["sample_weight"] = np.float32(np.squeeze(row[self.weight]))
        if self.embodiment is not None:
            example["embodiment_id"] = row[self.embodiment] if isinstance(self.embodiment, str) else self.embodiment
        return example

    def chunk(self, index: int) -> np.ndarray:
        """The actions from row `index` on, (num_action_chunks, action_dim) float32."""
        actions = joined(self.actions[index : self.stop(index)], self.action)
        return np.pad(actions, ((0, self.num_action_chunks - len(actions)), (0, 0)), mode="edge")

    def stop(self, index: int) -> int:
        """The row after the last whose action belongs to the chunk of row `index`."""
        return min(index + self.num_action_chunks, self.ends[np.searchsorted(self.ends, index, side="right")])


def check_readable(frames: Dataset) -> None:
    """Raises InputError for what is no table of rows that can be read in any order."""
    if not isinstance(frames, Dataset):
        raise InputError(
            f"frames is a {type(frames).__name__}; examples need rows in any order, which a datasets.Dataset has: load "
            "it without streaming=True, take one split of a DatasetDict, or write the stream to one with "
            "Dataset.from_generator."
        )
    if frames.format["type"] == "custom":
        raise InputError("the frames have a transform, which would not be run here; use frames.map() instead.")


def with_decoding(frames: Dataset, images: Sequence[str]) -> Dataset:
    """The same rows, with images that `datasets.Image(decode=False)` leaves as bytes decoded when they are read."""
    for name in images:
        feature = frames.features[name]
        if isinstance(feature, ImageFeature) and not feature.decode:
            frames = frames.cast_column(name, ImageFeature())
    return frames


def optional_column(frames: Dataset, name: str | None, default: str) -> str | None:
    """The column to look at; under its default name it may be missing. Raises InputError where another one is."""
    if name == default and name not in frames.column_names:
        return None
    if name is not None:
        require_columns(frames, [name])
    return name


def read_rows(frames: Dataset, index: int | list[int], images: Sequence[str]) -> dict[str, Any]:
    """One row, or the lists of several. Raises ImageFileError where an image is broken or too large.

    `datasets` says nothing of column and row; the columns are read one by one to find it.
    """
    try:
        return frames[index]
    except InputError:
        raise
    except Exception as error:  # `datasets`, pyarrow and Pillow's readers of formats have no common one
        for row in index if isinstance(index, list) else [index]:
            for name in images:
                try:
                    frames.select_columns([name])[row]
                except Exception as reason:
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
