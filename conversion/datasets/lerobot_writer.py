"""A LeRobot dataset (v3.0) that is written episode by episode.

Source of the layout: huggingface/lerobot 0.4, lerobot/datasets. Data files take several episodes, each a row group; an
image is a PNG in them, or a frame of a video file of its episode.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Sequence, Value
from datasets import Image as ImageFeature
from PIL import Image

from ...configuration.vla_errors import InputError
from ...training.video_frames import import_av
from .recorded_episode import RecordedEpisode
from .running_statistics import ImageStatistics, RunningStatistics

DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES_IN_A_CHUNK = 1000
DATA_BYTES, VIDEO_MEGABYTES = 100 * 2**20, 200
NUMBERS = {"timestamp": "float32"} | dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
QUALITY = {"crf": "18", "g": "2"}  # every other frame is a key frame, as LeRobot encodes


class LeRobotWriter:
    """Writes into an empty folder; `finish` writes what tells of the whole.

    Args:
        fps: frames in a second.
        videos: images become frames of mp4 files, which is smaller and not exact; needs PyAV.
        robot_type: for info.json.
    """

    def __init__(self, folder: Path, fps: float, videos: bool = False, robot_type: str | None = None):
        self.folder, self.fps, self.videos, self.robot_type = folder, fps, videos, robot_type
        self.av = import_av() if videos else None
        self.form: dict[str, tuple] = {}
        self.statistics: dict[str, RunningStatistics | ImageStatistics] = {}
        self.tasks: dict[str, int] = {}
        self.episodes: list[dict[str, Any]] = []
        self.frames = 0
        self.files, self.file, self.writer = -1, None, None

    def add(self, episode: RecordedEpisode) -> None:
        """Write one more episode.

        Raises:
            InputError: its columns have other names or sizes than those of the first one.
        """
        self.check_form(episode)
        number, steps = len(self.episodes), len(episode)
        tasks = [self.tasks.setdefault(text, len(self.tasks)) for text in episode.texts]
        places = np.arange(steps)
        columns = {
            **episode.vectors,
            "timestamp": (places / self.fps).astype(np.float32),
            "frame_index": places,
            "episode_index": np.full(steps, number),
            "index": self.frames + places,
            "task_index": np.array(tasks),
        }
        for name, values in columns.items():
            self.statistics.setdefault(name, RunningStatistics()).add(values.reshape(steps, -1))
        row = {"episode_index": number, "tasks": list(dict.fromkeys(episode.texts)), "length": steps}
        row |= {"dataset_from_index": self.frames, "dataset_to_index": self.frames + steps}
        for name, pictures in episode.images.items():
            self.statistics.setdefault(name, ImageStatistics()).add(pictures)
            if self.videos:
                row |= self.write_video(name, number, pictures)
        pictures = {} if self.videos else episode.images
        row |= {f"data/{name}": value for name, value in self.write_rows(columns, pictures).items()}
        self.episodes.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        self.frames += steps

    def check_form(self, episode: RecordedEpisode) -> None:
        form = {name: (values.dtype.name, *values.shape[1:]) for name, values in episode.vectors.items()}
        form |= {name: ("video" if self.videos else "image", *p.shape[1:]) for name, p in episode.images.items()}
        self.form = self.form or form
        other = [name for name in {**self.form, **form} if self.form.get(name) != form.get(name)]
        if other:
            raise InputError(
                f"{episode.name}: {other[0]} is {form.get(other[0])}, in the first episode {self.form.get(other[0])}; "
                "all episodes of a dataset have the same columns."
            )

    def write_rows(self, columns: dict[str, np.ndarray], images: dict[str, np.ndarray]) -> dict[str, int]:
        """One row group; returns the place of its file."""
        schema = self.schema(images)
        if self.writer is None or self.file.stat().st_size > DATA_BYTES:
            self.close()
            self.files += 1
            self.file = self.folder / DATA.format(**place_of(self.files))
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.writer = pq.ParquetWriter(self.file, schema)
        arrays = [stored_images(values) for values in images.values()] + [stored_numbers(v) for v in columns.values()]
        self.writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        return place_of(self.files)

    def schema(self, images: dict[str, np.ndarray]) -> pa.Schema:
        features = {name: ImageFeature() for name in images}
        for name, (kind, *shape) in self.form.items():
            if kind not in ("image", "video"):
                features[name] = Sequence(Value(kind), length=shape[0])
        schema = Features(features | {name: Value(kind) for name, kind in NUMBERS.items()}).arrow_schema
        # The name that datasets had for lists before 4.0; later ones read it, too.
        said = {name: text.replace(b'"List"', b'"Sequence"') for name, text in schema.metadata.items()}
        return schema.with_metadata(said)

    def write_video(self, camera: str, number: int, pictures: np.ndarray) -> dict[str, Any]:
        """One file; returns what the episode's row says of it."""
        file = self.folder / VIDEO.format(video_key=camera, **place_of(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        with self.av.open(str(file), "w") as container:
            stream = container.add_stream("libx264", rate=int(self.fps), options=QUALITY)
            stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
            for picture in pictures:
                frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        entries = place_of(number) | {"from_timestamp": 0.0, "to_timestamp": len(pictures) / self.fps}
        return {f"videos/{camera}/{name}": value for name, value in entries.items()}

    def close(self) -> None:
        """End the file that is being written, if any."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def finish(self) -> None:
        """Write the meta files. Raises InputError where there was no episode."""
        self.close()
        if not self.episodes:
            raise InputError("there are no episodes to write.")
        meta = self.folder / "meta"
        (meta / "episodes/chunk-000").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self.episodes), meta / "episodes/chunk-000/file-000.parquet")
        tasks = pd.DataFrame({"task_index": list(self.tasks.values())}, index=list(self.tasks))
        tasks.to_parquet(meta / "tasks.parquet")
        (meta / "info.json").write_text(json.dumps(self.info(), indent=4, allow_nan=False), encoding="utf-8")
        (meta / "stats.json").write_text(json.dumps(self.stats(), indent=4, allow_nan=False), encoding="utf-8")

    def info(self) -> dict[str, Any]:
        """meta/info.json."""
        features: dict[str, Any] = {}
        for name, (kind, *shape) in self.form.items():
            is_image = kind in ("image", "video")
            features[name] = {"dtype": kind, "shape": shape, "names": None}
            features[name] |= {"names": ["height", "width", "channels"]} if is_image else {}
            if kind == "video":
                described = {"video.fps": self.fps, "video.codec": "h264", "video.pix_fmt": "yuv420p"}
                features[name]["info"] = {**described, "video.is_depth_map": False, "has_audio": False}
        features |= {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in NUMBERS.items()}
        return {
            "codebase_version": "v3.0",
            "robot_type": self.robot_type,
            "total_episodes": len(self.episodes),
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "chunks_size": FILES_IN_A_CHUNK,
            "data_files_size_in_mb": DATA_BYTES // 2**20,
            "video_files_size_in_mb": VIDEO_MEGABYTES,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "data_path": DATA,
            "video_path": VIDEO if self.videos else None,
            "features": features,
        }

    def stats(self) -> dict[str, dict[str, list]]:
        """meta/stats.json: by column; of images by channel, scaled to 0..1, as (3, 1, 1)."""
        result = {}
        for name, statistics in self.statistics.items():
            is_image = self.form.get(name, ("",))[0] in ("image", "video")
            shape = (3, 1, 1) if is_image else (-1,)
            result[name] = {measure: v.reshape(shape).tolist() for measure, v in statistics.result().items()}
            result[name]["count"] = [self.frames]
        return result


def place_of(number: int) -> dict[str, int]:
    """Where file `number` lies."""
    return {"chunk_index": number // FILES_IN_A_CHUNK, "file_index": number % FILES_IN_A_CHUNK}


def stored_numbers(values: np.ndarray) -> pa.Array:
    """(rows,) or (rows, numbers)."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def stored_images(pictures: np.ndarray) -> pa.StructArray:
    """(rows, height, width, 3) uint8 as PNGs."""
    rows = pa.array([png(picture) for picture in pictures], pa.binary())
    return pa.StructArray.from_arrays([rows, pa.nulls(len(rows), pa.string())], ["bytes", "path"])


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "png")
    return buffer.getvalue()
