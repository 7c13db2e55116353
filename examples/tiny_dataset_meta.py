"""The meta files of a tiny LeRobot dataset, as LeRobot v2.1 (JSON lines) and v3.0 (parquet) have them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tiny_scene import HEIGHT, TASKS, WIDTH

FPS, EPISODES_IN_A_FILE = 10, 3  # the latter in v3.0
CAMERAS = {"observation.images.primary": "primary", "observation.images.wrist": "wrist"}
VECTORS = {"observation.state": 8, "action": 7}
NUMBERS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
DATA = {
    "v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
}
VIDEO = {
    "v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}


def write_meta(folder: Path, version: str, tables: list[dict[str, np.ndarray]], videos: bool) -> None:
    """Write `folder/meta`.

    Args:
        tables: for each episode its columns, all of them (frames, ...) with the same number of frames.
    """
    meta = folder / "meta"
    info = dataset_info(version, len(tables), len(tables[0]["index"]), videos)
    (meta / "info.json").write_text(json.dumps(info, indent=4, allow_nan=False), encoding="utf-8")
    if version == "v2.1":
        write_meta_v2(meta, tables)
    else:
        write_meta_v3(meta, tables, videos)


def dataset_info(version: str, episodes: int, frames: int, videos: bool) -> dict[str, Any]:
    """meta/info.json."""
    shape = {"shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]}
    features = {camera: {"dtype": "video" if videos else "image", **shape} for camera in CAMERAS}
    features |= {name: {"dtype": "float32", "shape": [size], "names": None} for name, size in VECTORS.items()}
    features |= {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in NUMBERS.items()}
    info = {"codebase_version": version, "robot_type": "drawn", "fps": FPS, "chunks_size": 1000}
    info |= {"total_episodes": episodes, "total_frames": episodes * frames, "total_tasks": len(TASKS)}
    if version == "v2.1":
        info |= {"total_chunks": 1, "total_videos": len(CAMERAS) * episodes if videos else 0}
    else:
        info |= {"data_files_size_in_mb": 100, "video_files_size_in_mb": 500}
    info |= {"splits": {"train": f"0:{episodes}"}, "data_path": DATA[version]}
    return info | {"video_path": VIDEO[version] if videos else None, "features": features}


def write_meta_v2(meta: Path, tables: list[dict[str, np.ndarray]]) -> None:
    """Tasks, episodes and their statistics, as JSON lines."""
    rows = {
        "tasks": [{"task_index": i, "task": task} for i, (task, _, _) in enumerate(TASKS)],
        "episodes": [episode_row(table) for table in tables],
        "episodes_stats": [{"episode_index": i, "stats": statistics([table])} for i, table in enumerate(tables)],
    }
    for name, lines in rows.items():
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
        (meta / f"{name}.jsonl").write_text(text, encoding="utf-8")


def write_meta_v3(meta: Path, tables: list[dict[str, np.ndarray]], videos: bool) -> None:
    """Tasks and episodes as parquet, where each episode lies in which file, and statistics of the whole."""
    pd.DataFrame({"task_index": range(len(TASKS))}, index=[task for task, _, _ in TASKS]).to_parquet(
        meta / "tasks.parquet"
    )
    rows = []
    for i, table in enumerate(tables):
        length, place = len(table["index"]), {"chunk_index": 0, "file_index": i // EPISODES_IN_A_FILE}
        row = episode_row(table) | {"dataset_from_index": i * length, "dataset_to_index": (i + 1) * length}
        row |= {f"data/{name}": value for name, value in place.items()}
        start = i % EPISODES_IN_A_FILE * length / FPS
        times = {"from_timestamp": start, "to_timestamp": start + length / FPS}
        for camera in CAMERAS if videos else ():
            row |= {f"videos/{camera}/{name}": value for name, value in (place | times).items()}
        rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
    file = meta / "episodes/chunk-000/file-000.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), file)
    (meta / "stats.json").write_text(json.dumps(statistics(tables), indent=4, allow_nan=False), encoding="utf-8")


def episode_row(table: dict[str, np.ndarray]) -> dict[str, Any]:
    """What both versions say of an episode."""
    task, _, _ = TASKS[table["task_index"][0]]
    return {"episode_index": int(table["episode_index"][0]), "tasks": [task], "length": len(table["index"])}


def statistics(tables: list[dict[str, np.ndarray]]) -> dict[str, dict[str, list]]:
    """min, max, mean, std and count of each column; of images by channel, scaled to 0..1, as (3, 1, 1)."""
    result = {}
    for name in tables[0]:
        values = np.concatenate([table[name] for table in tables]).astype(float)
        values = values / 255 if name in CAMERAS else values.reshape(len(values), -1)
        axes, shape = tuple(range(values.ndim - 1)), (3, 1, 1) if name in CAMERAS else (-1,)
        measures = {
            "min": values.min(axes),
            "max": values.max(axes),
            "mean": values.mean(axes),
            "std": values.std(axes),
        }
        result[name] = {measure: value.reshape(shape).tolist() for measure, value in measures.items()}
        result[name]["count"] = [len(values)]
    return result
