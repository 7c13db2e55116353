"""Where a LeRobot dataset keeps what: its meta files, of versions 2.0, 2.1 and 3.0, as one table of episodes.

Source of the layouts: huggingface/lerobot, lerobot/datasets (0.3.3 writes v2.1, 0.4.0 writes v3.0). v2 has a data file
and a video of each camera for every episode, and JSON lines; v3 has several episodes in one file, and parquet.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..configuration.vla_errors import InputError
from .lerobot_paths import filled_template

INFO = "meta/info.json"
VERSIONS = ("v2.0", "v2.1", "v3.0")


class Entries(dict):
    """What one meta file says, or one row of it. Raises InputError for an entry that it lacks."""

    def __init__(self, entries: Mapping[str, Any], source: Path | str) -> None:
        super().__init__(entries)
        self.source = source

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self.source} has no {key!r}; the dataset is not a complete LeRobot dataset.")

    def number(self, key: str, least: float = 0) -> Any:
        """A finite number from `least` on. Raises InputError for anything else."""
        value = self[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
            raise InputError(f"{self.source} says {key}={value!r}; a number from {least} on is needed.")
        return value


@dataclass(frozen=True)
class Video:
    """Where one camera's frames of one episode lie: the file, and from when to when in it, in seconds.

    The end is `None` where the whole file is of this episode, or nothing says it.
    """

    file: Path
    start: float
    end: float | None


@dataclass(frozen=True)
class Episode:
    """One episode: its number, how many frames it has, its data file, and the video of each camera."""

    index: int
    length: int
    data: Path
    videos: dict[str, Video]


@dataclass(frozen=True)
class Layout:
    """The meta files of one dataset.

    Attributes:
        tasks: the instruction by task_index.
        kinds: what each column holds, in their order: "image" (in the data files), "video", "float32", ...
        fps: frames in a second.
        video_rates: frames in a second of each camera's videos, where info.json says it.
        total_frames: rows of the whole dataset.
        depth: columns whose images or videos are depth maps.
    """

    folder: Path
    episodes: list[Episode]
    tasks: dict[int, str]
    kinds: dict[str, str]
    fps: float
    video_rates: dict[str, float]
    total_frames: int
    depth: frozenset[str] = frozenset()


def read_layout(folder: Path) -> Layout:
    """Read the meta files and see that the files they name are there.

    Raises:
        InputError: the version is unknown, an entry or a file is missing or unreadable.
    """
    content = read_json(folder / INFO)
    if not isinstance(content, dict):
        raise InputError(f"{folder / INFO} holds a {type(content).__name__}; a mapping is needed.")
    info = Entries(content, folder / INFO)
    version = info["codebase_version"]
    if version not in VERSIONS:
        raise InputError(f"{folder} is a LeRobot dataset of version {version!r}; readable are {', '.join(VERSIONS)}.")
    kinds = {name: feature["dtype"] for name, feature in features_of(info).items()}
    cameras = [name for name, kind in kinds.items() if kind == "video"]
    new = version == "v3.0"
    episodes = episodes_v3(folder, info, cameras) if new else episodes_v2(folder, info, cameras)
    require_files(episodes)
    return Layout(
        folder=folder,
        episodes=episodes,
        tasks=tasks_v3(folder) if new else tasks_v2(folder),
        kinds=kinds,
        fps=info.number("fps", 1e-3),
        video_rates={camera: rate for camera in cameras if (rate := video_rate(info, camera)) is not None},
        total_frames=info.number("total_frames"),
        depth=frozenset(name for name, feature in info["features"].items() if is_depth(feature)),
    )


def is_depth(feature: Any) -> bool:
    """Whether info.json calls a column a depth map: `is_depth_map` or, in the older form, `video.is_depth_map`.

    The entry is the feature's own, or lies in its `info` or `video_info`.
    """
    return isinstance(feature, Mapping) and any(
        is_depth(value) or (key.split(".")[-1] == "is_depth_map" and value is True) for key, value in feature.items()
    )


def episodes_v2(folder: Path, info: Entries, cameras: list[str]) -> list[Episode]:
    """The rows of meta/episodes.jsonl."""
    episodes = []
    for row in read_json_lines(folder / "meta/episodes.jsonl"):
        index = row.number("episode_index")
        place = {"episode_index": index, "episode_chunk": index // info.number("chunks_size", 1)}
        videos = {camera: Video(place_in(folder, info, "video_path", place, camera), 0.0, None) for camera in cameras}
        episodes.append(Episode(index, row.number("length"), place_in(folder, info, "data_path", place), videos))
    return episodes


def episodes_v3(folder: Path, info: Entries, cameras: list[str]) -> list[Episode]:
    """The rows of meta/episodes/*/*.parquet, without the statistics that make most of these files."""
    episodes = []
    files = sorted(folder.glob("meta/episodes/*/*.parquet"))
    if not files:
        raise InputError(f"{folder / 'meta/episodes'} has no parquet files; the dataset is incomplete.")
    for file in files:
        for row in read_parquet(file, lambda name: not name.startswith("stats/")):
            data = place_in(folder, info, "data_path", file_place(row, "data"))
            videos = {}
            for camera in cameras:
                place = file_place(row, f"videos/{camera}")
                start, end = row[f"videos/{camera}/from_timestamp"], row.get(f"videos/{camera}/to_timestamp")
                videos[camera] = Video(place_in(folder, info, "video_path", place, camera), start, end)
            episodes.append(Episode(row.number("episode_index"), row.number("length"), data, videos))
    return episodes


def file_place(row: Entries, part: str) -> dict[str, int]:
    """Where a part of an episode lies in v3.0: "data" or "videos/<camera>"."""
    return {name: row[f"{part}/{name}"] for name in ("chunk_index", "file_index")}


def features_of(info: Entries) -> dict[str, Entries]:
    """What info.json says of each column. Raises InputError where it is not a mapping by columns."""
    features = info["features"]
    if not isinstance(features, dict) or not all(isinstance(feature, dict) for feature in features.values()):
        raise InputError(f"{info.source}: 'features' must be a mapping with an entry for each column.")
    return {name: Entries(feature, f"{info.source}: features[{name!r}]") for name, feature in features.items()}


def video_rate(info: Entries, camera: str) -> float | None:
    """Frames in a second of a camera's videos: under "info" since LeRobot v2.1, "video_info" before."""
    feature = info["features"][camera]
    described = feature.get("info") or feature.get("video_info")
    if not isinstance(described, dict) or described.get("video.fps") is None:
        return None
    return Entries(described, f"{info.source}: features[{camera!r}]").number("video.fps", 1e-3)


def place_in(folder: Path, info: Entries, entry: str, place: dict[str, int], camera: str | None = None) -> Path:
    """The file that a template of info.json names. Raises InputError as `filled_template` does."""
    fields = place if camera is None else {**place, "video_key": camera}
    return folder / filled_template(info[entry], fields, f"{info.source}: {entry}")


def tasks_v2(folder: Path) -> dict[int, str]:
    """The rows of meta/tasks.jsonl."""
    rows = read_json_lines(folder / "meta/tasks.jsonl")
    return {row.number("task_index"): row["task"] for row in rows}


def tasks_v3(folder: Path) -> dict[int, str]:
    """meta/tasks.parquet is a pandas frame whose index holds the instructions, under whatever name it had."""
    file = folder / "meta/tasks.parquet"
    rows = read_parquet(file)
    column = text_column(file, rows)
    return {row.number("task_index"): row[column] for row in rows}


def text_column(file: Path, rows: list[Entries]) -> str | None:
    """Which column of meta/tasks.parquet holds the instructions: the frame's index, else "task", else the only text.

    Raises:
        InputError: there are several columns of texts and none of these, or there is none.
    """
    texts = [name for name in rows[0] if all(isinstance(row[name], str) for row in rows)] if rows else []
    index = [name for name in index_columns(file) if name in texts]
    for found in (index, [name for name in texts if name == "task"], texts):
        if len(found) == 1:
            return found[0]
    if not rows:
        return None
    raise InputError(f"{file}: a row has columns {list(rows[0])}; wanted are task_index and one of texts.")


def index_columns(file: Path) -> list[str]:
    """Names of the columns that were the index of a pandas frame, as it says in the file; none where it does not."""
    try:
        described = json.loads((pq.read_schema(file).metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError):
        return []
    columns = described.get("index_columns") if isinstance(described, dict) else None
    return [name for name in columns if isinstance(name, str)] if isinstance(columns, list) else []


def require_files(episodes: list[Episode]) -> None:
    """Raises InputError unless every data file and every video is there."""
    wanted = {e.data for e in episodes} | {video.file for e in episodes for video in e.videos.values()}
    missing = sorted(str(file) for file in wanted if not file.is_file())
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(f"files of the dataset are missing: {', '.join(missing[:3])}{more}.")


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises InputError where it is missing or not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def read_json_lines(file: Path) -> list[Entries]:
    """One dict a line. Raises InputError where the file is missing or a line is not JSON."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [Entries(json.loads(line), file) for line in lines if line.strip()]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def read_parquet(file: Path, wanted: Any = None) -> list[Entries]:
    """One dict a row, of all columns or those whose name is `wanted`. Raises InputError where it cannot be read."""
    try:
        with pq.ParquetFile(file) as opened:
            names = [name for name in opened.schema_arrow.names if wanted is None or wanted(name)]
            return [Entries(row, file) for row in opened.read(columns=names).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
