"""A drawn clip in the layout of the PhysicalAI-Autonomous-Vehicles dataset, and a stand-in for what reads it.

Layout: the wiki and the source of physical_ai_av 0.2, in a cache of the Hub. One chunk holds the clip: a zip a sensor,
with parquet and mp4. The car turns at a constant rate round a slanted axis on a curve of third order, which slerp and a
spline interpolate exactly.
"""

import io
import json
import zipfile
from types import SimpleNamespace

import av
import numpy as np
import pandas as pd

REPOSITORY, REVISION = "datasets--nvidia--PhysicalAI-Autonomous-Vehicles", "0123456789abcdef" * 2 + "01234567"
CLIP = "25cd4769-5dcf-4b53-a351-bf2c5deb6124"
CAMERAS = ["cross_left_120fov", "cross_right_120fov", "front_tele_30fov", "front_wide_120fov", "rear_tele_30fov"]
SECONDS, RATE = 14, 30  # of the cameras
HEIGHT, WIDTH = 32, 48
AXIS = np.array([0.2, -0.1, 0.97]) / np.linalg.norm([0.2, -0.1, 0.97])
PATH = np.array([[3e5, -2e5, 40.0], [9.0, 4.0, 0.3], [0.2, -0.7, 0.01], [0.01, 0.03, 0.0]])  # of the powers of seconds


def pose(times):
    """times (n,) microseconds -> positions (n, 3) and rotations (n, 3, 3) of the drive."""
    seconds = np.asarray(times) / 1e6
    angle = 0.4 + 0.21 * seconds
    cross = np.cross(AXIS, np.eye(3)).T
    turn = np.sin(angle)[:, None, None] * cross + (1 - np.cos(angle))[:, None, None] * (cross @ cross)
    return seconds[:, None] ** np.arange(4) @ PATH, np.eye(3) + turn


def quaternions(times):
    """x y z w, (n, 4)."""
    half = (0.4 + 0.21 * np.asarray(times) / 1e6) / 2
    return np.column_stack([np.sin(half)[:, None] * AXIS, np.cos(half)])


def frame_times(camera):
    """When each frame of a camera was taken, (frames,) microseconds."""
    return np.arange(SECONDS * RATE) * 33_333 + 700 * CAMERAS.index(camera)


def shade(camera, frame):
    """The grey of a frame, by which it is known."""
    return 16 + (37 * CAMERAS.index(camera) + 5 * frame) % 220


def write_clip(cache):
    """Write the dataset with the one clip into a cache folder."""
    folder = cache / REPOSITORY / "snapshots" / REVISION
    features = {"egomotion": ("labels", {"egomotion": "{clip_id}.egomotion.parquet"})}
    for camera in CAMERAS:
        name = f"camera_{camera}"
        files = {"video": f"{{clip_id}}.{name}.mp4", "frame_timestamps": f"{{clip_id}}.{name}.timestamps.parquet"}
        features[name] = ("camera", files)
    rows = []
    for name, (directory, files) in features.items():
        chunk = f"{directory}/{name}/{name}.chunk_{{chunk_id:04d}}.zip"
        rows.append(
            {"feature": name, "directory": directory, "chunk_path": chunk, "clip_files_in_zip": json.dumps(files)}
        )
    for part in ("metadata", "splits", "labels/egomotion", *(f"camera/camera_{camera}" for camera in CAMERAS)):
        (folder / part).mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "features.csv", index=False)
    index = pd.Index([CLIP], name="clip_id")
    tables = {
        "clip_index": {"chunk": [3]},
        "splits/default": {"split": ["train"]},
        "metadata/feature_presence": {name: [True] for name in features},
        "metadata/data_collection": {"country": ["nowhere"]},
    }
    for name, columns in tables.items():
        pd.DataFrame(columns, index=index).to_parquet(folder / f"{name}.parquet")
    with zipfile.ZipFile(folder / "labels/egomotion/egomotion.chunk_0003.zip", "w") as archive:
        archive.writestr(f"{CLIP}.egomotion.parquet", parquet(egomotion()))
    for camera in CAMERAS:
        name = f"camera_{camera}"
        with zipfile.ZipFile(folder / f"camera/{name}/{name}.chunk_0003.zip", "w") as archive:
            archive.writestr(f"{CLIP}.{name}.mp4", video(camera))
            times = pd.DataFrame({"timestamp": frame_times(camera)})
            archive.writestr(f"{CLIP}.{name}.timestamps.parquet", parquet(times))


def egomotion():
    times = np.arange(0, SECONDS * 1_000_000, 50_000)
    columns = {"timestamp": times, **dict(zip(("qx", "qy", "qz", "qw"), quaternions(times).T, strict=True))}
    columns |= dict(zip("xyz", pose(times)[0].T, strict=True))
    still = [f"{kind}{axis}" for kind in "va" for axis in "xyz"]
    return pd.DataFrame(columns | {name: np.zeros(len(times)) for name in [*still, "curvature"]})


def parquet(table):
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


def video(camera):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": "15", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(SECONDS * RATE):
            picture = np.full((HEIGHT, WIDTH, 3), shade(camera, frame), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


class StandIn:
    """What the loader asks of `physical_ai_av.PhysicalAIAVDatasetInterface`, for the clip of `pose`."""

    def __init__(self, cache):
        self.folder = cache / REPOSITORY / "snapshots" / REVISION
        names = {f"CAMERA_{camera.upper()}": f"camera_{camera}" for camera in CAMERAS}
        self.features = SimpleNamespace(CAMERA=SimpleNamespace(**names), LABELS=SimpleNamespace(EGOMOTION="egomotion"))

    def get_clip_feature(self, clip_id, feature, maybe_stream=False):
        if feature == "egomotion":
            return Motion()
        with zipfile.ZipFile(self.folder / f"camera/{feature}/{feature}.chunk_0003.zip") as archive:
            return Video(archive.read(f"{clip_id}.{feature}.mp4"), frame_times(feature.removeprefix("camera_")))


class Motion:
    time_range = 0, (SECONDS - 0.05) * 1_000_000

    def __call__(self, times):
        xyz, rot = pose(times)
        xyz[(times < self.time_range[0]) | (times > self.time_range[1])] = np.nan
        return SimpleNamespace(pose=SimpleNamespace(translation=xyz, rotation=SimpleNamespace(as_matrix=lambda: rot)))


class Video:
    def __init__(self, content, times):
        with av.open(io.BytesIO(content)) as container:
            self.frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        self.times = times

    def decode_images_from_timestamps(self, times):
        if times.min() < self.times.min() or times.max() > self.times.max():
            raise ValueError("Requested timestamps must be within the range of timestamps")
        found = np.searchsorted(self.times, times, side="right") - 1
        return self.frames[found], self.times[found]
