"""Datasets as robots record them, one row a frame: LeRobot folders, and whatever else `datasets` reads.

Data files hold images as structs of bytes and path that nothing calls images, and paths may be relative.
"""

import glob
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Value, concatenate_datasets, load_dataset, load_from_disk
from datasets.exceptions import DatasetsError
from datasets.table import InMemoryTable

from ..configuration.vla_errors import InputError
from .dataset_advice import advice_on, is_of_tensorflow
from .hub_dataset import dataset_folder
from .lerobot_layout import INFO, Episode, Layout, read_layout
from .video_checks import TOLERANCE, check_videos, rounding
from .video_frames import DepthImage, video_columns

STORED = {"bytes", "path"}  # of `datasets.Image`


def load_frames(source: str | Path, tolerance: float = TOLERANCE, revision: str | None = None) -> Dataset:
    """One row a frame; images and video frames are decoded only where they are read.

    Args:
        source: a folder of a LeRobot dataset (v2.0, v2.1, v3.0), of `Dataset.save_to_disk` or of parquet files, one
            parquet file; the id of a LeRobot dataset on the Hub, which is downloaded into the Hub's cache; or a name
            that `datasets.load_dataset` knows, of which the split "train" is taken.
        tolerance: seconds by which a row's time may miss its video frame, LeRobot's own by default.
        revision: branch, tag or commit of a dataset on the Hub.

    Returns:
        the columns as they are stored. Of a LeRobot dataset rows are in the order of episode and frame, "task" holds
        the instruction, and each camera is a column of PIL images or, from videos, of uint8 (height, width, 3).

    Raises:
        InputError: the source is none of these, has an unknown version, lacks files or rows, or has videos of another
            rate than its rows; or it is a folder and has no revisions.
    """
    folder = dataset_folder(source, revision)
    path = Path(source) if folder is None else folder
    try:
        if (path / INFO).is_file():
            return load_lerobot(path.absolute(), tolerance)
        if (path / "dataset_info.json").is_file() and not is_of_tensorflow(path):
            return with_images(load_from_disk(str(path)), path)
        if path.exists():
            return with_images(load_parquet(path), path if path.is_dir() else path.parent)
        return load_dataset(str(source), split="train", revision=revision)
    except InputError:
        raise
    except (OSError, ValueError, DatasetsError, pa.ArrowException) as error:
        reason = str(error.__cause__ or error).rstrip(".")  # datasets wraps what went wrong in a file
        advice = advice_on(path) if path.exists() else ""
        raise InputError(f"{source} cannot be read as a dataset: {reason}{advice}.") from error


def load_parquet(path: Path) -> Dataset:
    """One parquet file, or all of a folder in the order of their names."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise InputError(
            f"{path} has neither {INFO} (LeRobot), nor dataset_info.json (Dataset.save_to_disk), nor parquet files"
            f"{advice_on(path)}."
        )
    return read_parquet_files(files)


def read_parquet_files(files: list[Path], features: Features | None = None) -> Dataset:
    """The rows of all files. `datasets` copies them into its cache once; it takes the names of files for patterns."""
    return Dataset.from_parquet([glob.escape(str(file)) for file in files], features=features)


def load_lerobot(folder: Path, tolerance: float) -> Dataset:
    """A LeRobot dataset with its instructions and, where it has any, its video frames."""
    layout = read_layout(folder)
    frames = load_data_files(layout)
    columns = {name: number_column(frames, name, folder) for name in ("episode_index", "frame_index", "task_index")}
    order = order_of_rows(columns["episode_index"], columns["frame_index"], layout)
    added = [instructions(columns["task_index"], layout)]
    if layout.episodes[0].videos:
        times = number_column(frames, "timestamp", folder).astype(np.float64)
        check_videos(layout, columns["episode_index"][order], times[order], tolerance)
        added.append(camera_columns(columns["episode_index"], times, layout, tolerance))
    # A column of the data files may have such a name, too; as in LeRobot, the meta files win.
    known = {name for columns in added for name in columns.column_names}
    frames = frames.remove_columns([name for name in frames.column_names if name in known])
    frames = concatenate_datasets([frames, *added], axis=1)
    known = [name for name in layout.kinds if name in frames.column_names]  # the main camera first, image or video
    frames = frames.select_columns(known + [name for name in frames.column_names if name not in known])
    return frames if np.array_equal(order, np.arange(len(order))) else frames.select(order)


def load_data_files(layout: Layout) -> Dataset:
    """The data files of all episodes. What is an image follows from info.json: not every writer says so in the file."""
    files = sorted({episode.data for episode in layout.episodes})
    if not files:
        raise InputError(f"{layout.folder} has no episodes.")
    features = Features.from_arrow_schema(pq.read_schema(files[0]))
    images = [name for name, kind in layout.kinds.items() if kind == "image"]
    missing = [name for name in images if name not in features]
    if missing:
        raise InputError(f"{files[0]} has no columns {missing}, which {INFO} calls images.")
    features.update({name: DepthImage() if name in layout.depth else Image() for name in images})
    return with_images(read_parquet_files(files, features), layout.folder)


def number_column(frames: Dataset, name: str, folder: Path) -> np.ndarray:
    """A column of single numbers, (rows,). Raises InputError where it is missing, has gaps, or holds anything else."""
    if name not in frames.column_names:
        raise InputError(f"the data files of {folder} have no column {name!r}.")
    column = frames.data.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{folder}: column {name!r} holds {column.type}; a number a row is needed.")
    if column.null_count:
        raise InputError(f"{folder}: column {name!r} has {column.null_count} rows without a value.")
    return column.to_numpy()


def order_of_rows(episode: np.ndarray, frame: np.ndarray, layout: Layout) -> np.ndarray:
    """episode, frame: (rows,) numbers -> the row numbers in the order of episode and frame.

    Raises:
        InputError: there are not the episodes and frames that the meta files tell of; episodes are named.
    """
    numbers, counts = np.unique(episode, return_counts=True)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    wanted = {e.index: e.length for e in layout.episodes}
    wrong = [i for i in sorted(found.keys() | wanted.keys()) if found.get(i, 0) != wanted.get(i, 0)]
    if wrong:
        named = ", ".join(f"{i} ({found.get(i, 0)} of {wanted.get(i, 0)})" for i in wrong[:5])
        raise InputError(f"{layout.folder}: {len(wrong)} episodes have other rows than their meta file says: {named}.")
    if len(episode) != layout.total_frames:
        raise InputError(
            f"{layout.folder} has {len(episode)} rows, but {INFO} says total_frames={layout.total_frames}; "
            "episodes are missing, or the meta files belong to another dataset."
        )
    order = np.lexsort((frame, episode))
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    wrong = np.flatnonzero(frame[order] != np.arange(len(order)) - starts)
    if wrong.size:
        at = order[wrong[0]]
        raise InputError(
            f"{layout.folder}: the frames of episode {episode[at]} are not numbered 0, 1, 2, ... by frame_index; "
            f"frame {frame[at]} is there twice, or one before it is missing."
        )
    return order


def instructions(task: np.ndarray, layout: Layout) -> Dataset:
    """task: (rows,) numbers of instructions -> a dataset with the column "task"."""
    numbers, place = np.unique(task, return_inverse=True)
    unknown = [number for number in numbers.tolist() if number not in layout.tasks]
    if unknown:
        raise InputError(f"{layout.folder}: rows have task_index {unknown[:5]}, of which the meta files have no text.")
    texts = pa.array([layout.tasks[number] for number in numbers.tolist()], pa.string()).take(pa.array(place))
    schema = Features({"task": Value("string")}).arrow_schema
    return Dataset(InMemoryTable(pa.Table.from_arrays([texts], schema=schema)))


def camera_columns(episode: np.ndarray, times: np.ndarray, layout: Layout, tolerance: float) -> Dataset:
    """episode: (rows,) numbers; times: (rows,) seconds since its start -> a dataset with a column for each camera."""
    episodes: list[Episode] = sorted(layout.episodes, key=lambda e: e.index)
    place = np.searchsorted([e.index for e in episodes], episode)
    columns = {}
    for camera in episodes[0].videos:
        videos = [e.videos[camera] for e in episodes]
        files, starts = pa.array([str(video.file) for video in videos]), np.array([video.start for video in videos])
        columns[camera] = (files.take(pa.array(place)), starts[place] + times)
    return video_columns(columns, max(tolerance, rounding(times)), layout.depth)


def with_images(frames: Dataset, folder: Path) -> Dataset:
    """The same rows, with every column of stored images as one of images, found from any working directory.

    folder: of the dataset. Images that are stored by relative paths are looked for there, and, where the first one is
    not there, from the working directory, as `datasets` does.
    """
    order = frames.column_names
    for name in order:
        kind = frames.data.schema.field(name).type
        if not pa.types.is_struct(kind) or {field.name for field in kind} != STORED:
            continue
        if not isinstance(frames.features[name], Image):
            frames = frames.cast_column(name, Image())
        if any(is_relative(row) and (folder / row["path"]).exists() for row in first_without_bytes(frames, name)):
            frames = with_absolute_paths(frames, name, folder.absolute())
    return frames.select_columns(order)


def first_without_bytes(frames: Dataset, name: str) -> list[dict]:
    """The first row whose image lies in a file of its own, in a list; without decoding."""
    for chunk in frames.data.column(name).chunks:
        missing = chunk.field("bytes").is_null()
        place = missing.index(True).as_py()
        if place >= 0:
            return [chunk[place].as_py() or {}]
    return []


def is_relative(row: dict) -> bool:
    """Whether an image's path is relative: neither absolute nor a URL."""
    path = row.get("path")
    return path is not None and not os.path.isabs(path) and "://" not in path


def with_absolute_paths(frames: Dataset, name: str, folder: Path) -> Dataset:
    """The same rows with the column's relative paths joined to the folder's; stored bytes are not copied."""
    chunks = []
    for chunk in frames.data.column(name).chunks:
        pixels, paths = chunk.field("bytes"), chunk.field("path").to_pylist()
        rows = zip(pixels.is_null().to_pylist(), paths, strict=True)
        found = [str(folder / path) if empty and is_relative({"path": path}) else path for empty, path in rows]
        chunks.append(pa.StructArray.from_arrays([pixels, pa.array(found, pa.string())], ["bytes", "path"]))
    schema = frames.select_columns([name]).features.arrow_schema
    table = pa.Table.from_arrays([pa.chunked_array(chunks)], schema=schema)
    return concatenate_datasets([frames.remove_columns([name]), Dataset(InMemoryTable(table))], axis=1)
