"""A tiny LeRobot dataset of a drawn table, that a model can learn from in minutes, in the layout of either version.

python examples/tiny_dataset.py FOLDER --version v2.1
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Sequence, Value
from tiny_dataset_meta import CAMERAS, DATA, EPISODES_IN_A_FILE, FPS, NUMBERS, VECTORS, VIDEO, write_meta
from tiny_scene import HEIGHT, TASKS, WIDTH, episode


def write_dataset(
    folder: str | Path, version: str = "v3.0", episodes: int = 32, frames: int = 6, seed: int = 0, videos: bool = False
) -> None:
    """Write `episodes` episodes of `frames` frames; images go into the parquet files, or with `videos` into mp4 files.

    Raises ValueError for an unknown version and FileExistsError where the folder is there already.
    """
    if version not in DATA:
        raise ValueError(f"version={version!r} is unknown; choose from {', '.join(DATA)}")
    folder = Path(folder)
    (folder / "meta").mkdir(parents=True)
    tables = [episode_columns(index, frames, seed) for index in range(episodes)]
    per_file = 1 if version == "v2.1" else EPISODES_IN_A_FILE
    for number, first in enumerate(range(0, episodes, per_file)):
        group = tables[first : first + per_file]
        place = {"episode_chunk": 0, "episode_index": number, "chunk_index": 0, "file_index": number}
        columns = {name: np.concatenate([table[name] for table in group]) for name in group[0]}
        write_data(folder / DATA[version].format(**place), columns, videos)
        for camera in CAMERAS if videos else ():
            write_video(folder / VIDEO[version].format(video_key=camera, **place), columns[camera])
    write_meta(folder, version, tables, videos)


def episode_columns(index: int, frames: int, seed: int) -> dict[str, np.ndarray]:
    """One episode as LeRobot's columns, each (frames, ...)."""
    scene = episode(index, frames, seed)
    steps = np.arange(frames)
    return {
        **{camera: scene[view] for camera, view in CAMERAS.items()},
        "observation.state": scene["state"],
        "action": scene["action"],
        "timestamp": (steps / FPS).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(frames, index),
        "index": index * frames + steps,
        "task_index": np.full(frames, index % len(TASKS)),
    }


def write_data(file: Path, columns: dict[str, np.ndarray], videos: bool) -> None:
    """The parquet file of one or more episodes."""
    features = {} if videos else {camera: Image() for camera in CAMERAS}
    features |= {name: Sequence(Value("float32"), length=size) for name, size in VECTORS.items()}
    features |= {name: Value(kind) for name, kind in NUMBERS.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = Dataset.from_dict({name: list(columns[name]) for name in features}, Features(features))
    table = rows.with_format("arrow")[:]
    # The name that datasets had for lists before 4.0 (and LeRobot v2.1 still needs); later ones read it, too.
    metadata = {name: text.replace(b'"List"', b'"Sequence"') for name, text in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata(metadata), file)


def write_video(file: Path, pictures: np.ndarray) -> None:
    """pictures: (frames, height, width, 3) uint8 -> an mp4 in which every other frame is a key frame."""
    import av  # the extra `video`

    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "2", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write; must not be there yet")
    parser.add_argument("--version", choices=sorted(DATA), default="v3.0")
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--videos", action="store_true", help="write mp4 files; needs the extra `video`")
    arguments = parser.parse_args()
    write_dataset(arguments.folder, arguments.version, arguments.episodes, videos=arguments.videos)


if __name__ == "__main__":
    main()
