"""Where a LeRobot dataset keeps what: its meta files, of versions 2.0, 2.1 and 3.0, as one table of episodes.

Source of the layouts: huggingface/lerobot, lerobot/datasets (0.3.3 writes v2.1, 0.4.0 writes v3.0). v2 has a data file
and a video of each camera for every episode, and JSON lines; v3 has several episodes in one file, and parquet.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..configuration.vla_errors import InputError

INFO = "meta/info.json"
VERSIONS = ("v2.0", "v2.1", "v3.0")


class Entries(dict):
    """What one meta file says, or one row of it. Raises InputError for an entry that it lacks."""

    def __init__(self, entries: Mapping[str, Any], source: Path | str) -> None:
        super().__init__(entries)
        self.source = source

    def __missing__(self, key: str) -> Any:
        raise InputError(f"{self.source} has no {key!r}; the dataset is not a complete LeRobot dataset.")


@dataclass(frozen=True)
class Episode:
    """One episode: its number, how many frames it has, its data file, and of each camera (file, start in seconds)."""

    index: int
    length: int
    data: Path
    videos: dict[str, tuple[Path, float]]


@dataclass(frozen=True)
class Layout:
    """The meta files of one dataset.

    Attributes:
        tasks: the instruction by task_index.
        kinds: what each column holds, in their order: "image" (in the data files), "video", "float32", ...
        fps: frames in a second.
        total_frames: rows of the whole dataset.
        depth: columns whose images or videos are depth maps.
    """

    folder: Path
    episodes: list[Episode]
    tasks: dict[int, str]
    kinds: dict[str, str]
    fps: float
    total_frames: int
    depth: frozenset[str] = frozenset()


def read_layout(folder: Path) -> Layout:
    """Read the meta files and see that the files they name are there.

    Raises:
        InputError: the version is unknown, an entry or a file is missing or unreadable.
    """
    info = Entries(read_json(folder / INFO), folder / INFO)
    version = info["codebase_version"]
    if version not in VERSIONS:
        raise InputError(f"{folder} is a LeRobot dataset of version {version!r}; readable are {', '.join(VERSIONS)}.")
    kinds = {name: feature.get("dtype") for name, feature in info["features"].items()}
    cameras = [name for name, kind in kinds.items() if kind == "video"]
    new = version == "v3.0"
    episodes = episodes_v3(folder, info, cameras) if new else episodes_v2(folder, info, cameras)
    require_files(episodes)
    return Layout(
        folder=folder,
        episodes=episodes,
        tasks=tasks_v3(folder) if new else tasks_v2(folder),
        kinds=kinds,
        fps=info["fps"],
        total_frames=info["total_frames"],
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
        index = row["episode_index"]
        place = {"episode_index": index, "episode_chunk": index // info["chunks_size"]}
        videos = {camera: (folder / path(info, "video_path", place, camera), 0.0) for camera in cameras}
        episodes.append(Episode(index, row["length"], folder / path(info, "data_path", place), videos))
    return episodes


def episodes_v3(folder: Path, info: Entries, cameras: list[str]) -> list[Episode]:
    """The rows of meta/episodes/*/*.parquet, without the statistics that make most of these files."""
    episodes = []
    files = sorted(folder.glob("meta/episodes/*/*.parquet"))
    if not files:
        raise InputError(f"{folder / 'meta/episodes'} has no parquet files; the dataset is incomplete.")
    for file in files:
        for row in read_parquet(file, lambda name: not name.startswith("stats/")):
            data = folder / path(info, "data_path", file_place(row, "data"))
            videos = {}
            for camera in cameras:
                place = file_place(row, f"videos/{camera}")
                start = row[f"videos/{camera}/from_timestamp"]
                videos[camera] = (folder / path(info, "video_path", place, camera), start)
            episodes.append(Episode(row["episode_index"], row["length"], data, videos))
    return episodes


def file_place(row: Entries, part: str) -> dict[str, int]:
    """Where a part of an episode lies in v3.0: "data" or "videos/<camera>"."""
    return {name: row[f"{part}/{name}"] for name in ("chunk_index", "file_index")}


def path(info: Entries, entry: str, place: dict[str, int], camera: str | None = None) -> str:
    """A template of info.json filled in. Raises InputError where it asks for what its version does not have."""
    try:
        return info[entry].format(**place, video_key=camera)
    except KeyError as error:
        raise InputError(f"{info.source}: {entry}={info[entry]!r} asks for {error}, not {', '.join(place)}.") from error


def tasks_v2(folder: Path) -> dict[int, str]:
    """The rows of meta/tasks.jsonl."""
    return {row["task_index"]: row["task"] for row in read_json_lines(folder / "meta/tasks.jsonl")}


def tasks_v3(folder: Path) -> dict[int, str]:
    """meta/tasks.parquet is a pandas frame whose index holds the instructions, under whatever name it had."""
    file = folder / "meta/tasks.parquet"
    tasks = {}
    for row in read_parquet(file):
        texts = [value for value in row.values() if isinstance(value, str)]
        if len(texts) != 1:
            raise InputError(f"{file}: a row has columns {list(row)}; wanted are task_index and one of texts.")
        tasks[row["task_index"]] = texts[0]
    return tasks


def require_files(episodes: list[Episode]) -> None:
    """Raises InputError unless every data file and every video is there."""
    wanted = {e.data for e in episodes} | {file for e in episodes for file, _ in e.videos.values()}
    missing = sorted(str(file) for file in wanted if not file.is_file())
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(f"files of the dataset are missing: {', '.join(missing[:3])}{more}.")


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises InputError where it is missing or not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def read_json_lines(file: Path) -> list[Entries]:
    """One dict a line. Raises InputError where the file is missing or a line is not JSON."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [Entries(json.loads(line), file) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def read_parquet(file: Path, wanted: Any = None) -> list[Entries]:
    """One dict a row, of all columns or those whose name is `wanted`. Raises InputError where it cannot be read."""
    try:
        with pq.ParquetFile(file) as opened:
            names = [name for name in opened.schema_arrow.names if wanted is None or wanted(name)]
            return [Entries(row, file) for row in opened.read(columns=names).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
