"""Demonstrations of the drawn board's expert, as a dataset in LeRobot's layout (v3.0, images in the parquet file)."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset, Features, Image, Sequence, Value
from drawn_board import INSTRUCTIONS, PIXELS, DrawnBoard
from PIL import Image as Picture

FPS = 10
VIEW, STATE, ACTION = "observation.images.primary", "observation.state", "action"
NUMBERS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


def write_demonstrations(folder: str | Path, scenes: int, frames: int, first_seed: int) -> None:
    """Two episodes of `frames` frames for each of `scenes` boards: from one start to the red and to the blue block.

    The boards are those of the seeds from `first_seed` on. Raises FileExistsError where the folder is there already.
    """
    folder = Path(folder)
    (folder / "meta/episodes/chunk-000").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    world, tasks = DrawnBoard(), list(INSTRUCTIONS)
    rows, episodes = [], []
    for seed in range(first_seed, first_seed + scenes):
        for task, colour in enumerate(tasks):
            place = {"dataset_from_index": len(rows), "dataset_to_index": len(rows) + frames}
            rows += demonstration(world, world.reset(seed, colour), frames, len(episodes), task, len(rows))
            named = {"episode_index": len(episodes), "tasks": [INSTRUCTIONS[colour]], "length": frames}
            episodes.append(named | place | {"data/chunk_index": 0, "data/file_index": 0})
    columns = {VIEW: Image(), STATE: Sequence(Value("float32"), length=2), ACTION: Sequence(Value("float32"), length=2)}
    columns |= {name: Value(kind) for name, kind in NUMBERS.items()}
    table = Dataset.from_list(rows, Features(columns))
    table.to_parquet(folder / DATA.format(chunk_index=0, file_index=0))
    pd.DataFrame(episodes).to_parquet(folder / "meta/episodes/chunk-000/file-000.parquet")
    words = pd.DataFrame({"task_index": range(len(tasks))}, index=list(INSTRUCTIONS.values()))
    words.to_parquet(folder / "meta/tasks.parquet")
    (folder / "meta/info.json").write_text(
        json.dumps(info(len(episodes), len(rows)), indent=4, allow_nan=False), encoding="utf-8"
    )


def demonstration(
    world: DrawnBoard, observation: dict[str, object], frames: int, episode: int, task: int, first: int
) -> list[dict[str, object]]:
    """The frames of one episode of the expert, from `observation` on; first: the number of its first frame."""
    rows = []
    for step in range(frames):
        action = world.expert()
        row = {VIEW: {"bytes": png(observation["image"])}, STATE: observation["state"], ACTION: action}
        row |= {"timestamp": step / FPS, "frame_index": step, "episode_index": episode}
        rows.append(row | {"index": first + step, "task_index": task})
        observation = world.step(action)
    return rows


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(image).save(file, format="png", compress_level=1)
    return file.getvalue()


def info(episodes: int, frames: int) -> dict[str, object]:
    """meta/info.json."""
    view = {"dtype": "image", "shape": [PIXELS, PIXELS, 3], "names": ["height", "width", "channels"]}
    plane = {"dtype": "float32", "shape": [2], "names": ["x", "y"]}
    features = {VIEW: view, STATE: plane, ACTION: plane}
    features |= {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in NUMBERS.items()}
    return {
        "codebase_version": "v3.0",
        "robot_type": "drawn",
        "fps": FPS,
        "chunks_size": 1000,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": len(INSTRUCTIONS),
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 500,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA,
        "video_path": None,
        "features": features,
    }
