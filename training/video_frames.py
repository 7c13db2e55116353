"""A column of a `datasets.Dataset` whose values are frames of video files, decoded when they are read."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from warnings import catch_warnings, simplefilter

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, Image
from datasets.features.features import register_feature
from datasets.table import InMemoryTable

from ..configuration.vla_errors import InputError


@dataclass
class VideoFrame:
    """A feature of `datasets`: stored is where a frame lies, read is the frame, uint8 (height, width, 3).

    As with `datasets.Image`, whatever format the dataset has: only what is read is decoded. Needs datasets >= 3.3.

    Attributes:
        tolerance: seconds by which the nearest frame may miss the time that is wanted.
        is_depth: whether the frames are depth maps.
    """

    tolerance: float
    is_depth: bool = False
    pa_type: ClassVar[pa.DataType] = pa.struct({"path": pa.string(), "time": pa.float64()})
    _type: str = field(default="VlahubVideoFrame", init=False, repr=False)

    def __call__(self) -> pa.DataType:
        """The type that the column is stored in."""
        return self.pa_type

    def decode_example(self, value: dict[str, Any], token_per_repo_id: Any = None) -> np.ndarray:
        """The frame of one row."""
        return read_frame(value["path"], value["time"], self.tolerance)

    def cast_storage(self, storage: pa.StructArray) -> pa.StructArray:
        """What `datasets` calls where a column is brought to this feature."""
        return storage.cast(self.pa_type)

    def embed_storage(self, storage: pa.StructArray, **where: Any) -> pa.StructArray:
        """What `datasets` calls where a dataset is saved: videos stay in their files."""
        return storage


@dataclass
class DepthImage(Image):
    """`datasets.Image` for depth maps, which are no view of a camera."""

    is_depth: bool = True
    _type: str = field(default="VlahubDepthImage", init=False, repr=False)


with catch_warnings():
    simplefilter("ignore", UserWarning)  # datasets calls it experimental; the name is what a saved dataset holds
    register_feature(VideoFrame, "VlahubVideoFrame")
    register_feature(DepthImage, "VlahubDepthImage")


def video_columns(
    columns: dict[str, tuple[pa.Array, np.ndarray]], tolerance: float, depth: Collection[str] = ()
) -> Dataset:
    """A dataset of video columns alone.

    Args:
        columns: by name the file and the time in it (seconds) of every row.
        tolerance: see `VideoFrame`.
        depth: those of the columns that are depth maps.
    """
    features = Features({name: VideoFrame(tolerance, name in depth) for name in columns})
    arrays = [
        pa.StructArray.from_arrays([paths, pa.array(times)], ["path", "time"]) for paths, times in columns.values()
    ]
    return Dataset(InMemoryTable(pa.Table.from_arrays(arrays, schema=features.arrow_schema)))


def image_columns(frames: Dataset) -> list[str]:
    """The names of all columns that hold images or video frames, in the dataset's order; depth maps are left out."""
    return [
        name
        for name, feature in frames.features.items()
        if isinstance(feature, (Image, VideoFrame)) and not getattr(feature, "is_depth", False)
    ]


def read_frame(path: str | Path, time: float, tolerance: float) -> np.ndarray:
    """The frame of a video that is nearest to a time. Decodes from the key frame before it.

    The file is opened and closed in each call: what outlives a call would be shared between the processes of a
    dataloader, which are forked, and an open file has one position and its decoder's threads.

    Args:
        time: seconds on the clock of the video's own time stamps.
        tolerance: seconds by which the nearest frame may miss it.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        InputError: PyAV is missing, the file cannot be read, or no frame is near enough.
    """
    av = import_av()
    try:
        with av.open(str(path)) as container:
            nearest = nearest_frame(container, time)
            image = None if nearest is None else nearest.to_ndarray(format="rgb24")
    except (OSError, IndexError, av.FFmpegError) as error:
        raise InputError(f"{path} cannot be read as a video: {error}") from error
    if nearest is None or abs(nearest.time - time) > tolerance:
        found = "there is none" if nearest is None else f"the nearest one is at {nearest.time:.4f} s"
        raise InputError(f"{path} has no frame within {tolerance:.4f} s of {time:.4f} s: {found}.")
    return image


def nearest_frame(container: Any, time: float) -> Any:
    """Of an open PyAV container the frame nearest to `time` (seconds), or None where none can be decoded.

    A seek goes by the order of decoding, in which a key frame comes before frames that are shown earlier (open GOPs):
    where it leads behind the wanted time, the next one starts further back.
    """
    back = 0.0  # seconds
    while True:
        first, nearest = decode_until(container, max(time - back, 0.0), time)
        if (first and first.time <= time) or back >= time:
            return nearest
        back = 2 * back + 1


def decode_until(container: Any, start: float, time: float) -> tuple[Any, Any]:
    """Decode from the key frame before `start` up to `time` (seconds) -> the first frame and the one nearest to it."""
    stream = container.streams.video[0]
    container.seek(int(start / stream.time_base), stream=stream)
    first = nearest = None
    for frame in container.decode(stream):
        first = first or frame
        if nearest is None or abs(frame.time - time) < abs(nearest.time - time):
            nearest = frame
        if frame.time >= time:
            break
    return first, nearest


def frame_rate(path: Path) -> float | None:
    """Frames in a second of a video, as its header says; `None` where it does not.

    Raises:
        InputError: PyAV is missing, or the file cannot be read as a video.
    """
    av = import_av()
    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
    except (OSError, IndexError, av.FFmpegError) as error:
        raise InputError(f"{path} cannot be read as a video: {error}") from error
    return None if rate is None else float(rate)


def has_av() -> bool:
    """Whether PyAV is there."""
    try:
        import_av()
    except InputError:
        return False
    return True


def import_av() -> ModuleType:
    """PyAV. Raises InputError without it."""
    try:
        import av  # an extra of its own, and only needed for datasets with videos
    except ImportError as error:
        raise InputError("the frames are in video files, which PyAV reads: pip install 'vlahub[video]'") from error
    return av
