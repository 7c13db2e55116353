"""Clips of NVIDIA's PhysicalAI-Autonomous-Vehicles dataset as scenes for Alpamayo-R1, over the package physical_ai_av.

Published name, arguments and keys: NVlabs/alpamayo, src/alpamayo_r1/load_physical_aiavdataset.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...configuration.vla_errors import InputError
from ...processing.alpamayo_r1.camera_labels import CAMERAS

SEEN = ("CROSS_LEFT_120FOV", "FRONT_WIDE_120FOV", "CROSS_RIGHT_120FOV", "FRONT_TELE_30FOV")  # by Alpamayo-R1
MICROSECONDS = 1_000_000


def load_physical_aiavdataset(
    clip_id: str,
    t0_us: int = 5_100_000,
    avdi: Any = None,
    maybe_stream: bool = True,
    num_history_steps: int = 16,
    num_future_steps: int = 64,
    time_step: float = 0.1,
    camera_features: Sequence[str] | None = None,
    num_frames: int = 4,
) -> dict[str, Any]:
    """One moment of a clip: what the cameras saw, the path behind and the path ahead, seen from the car's pose then.

        data = load_physical_aiavdataset(clip_id)
        names = ("ego_history_xyz", "ego_history_rot")
        inputs = processor(data["image_frames"], **{name: data[name] for name in names})

    Args:
        clip_id: of the dataset's clip_index.
        t0_us: the moment, in microseconds from the clip's start.
        avdi: a `physical_ai_av.PhysicalAIAVDatasetInterface`; a new one of the dataset on the Hub by default, whose
            licence has to be agreed to there.
        maybe_stream: read from the Hub what was not downloaded.
        num_history_steps, num_future_steps: poses up to the moment, and after it.
        time_step: seconds between two poses, and between two frames of a camera.
        camera_features: names of cameras, in any order; the four of Alpamayo-R1 by default.
        num_frames: frames of each camera, the last one at the moment.

    Returns:
        `image_frames` (cameras, num_frames, 3, height, width) uint8 and `camera_indices` (cameras,) int64, in the order
        of these indices; of each frame, the last one that was taken before its time or at it, `absolute_timestamps`
        (cameras, num_frames) int64 microseconds and `relative_timestamps` float32 seconds since the first of them;
        `ego_history_xyz` (1, 1, num_history_steps, 3), `ego_history_rot` (1, 1, num_history_steps, 3, 3),
        `ego_future_xyz` and `ego_future_rot` with num_future_steps, float32, metres and rotations in the frame of the
        moment's pose, interpolated `time_step` apart; `t0_us` and `clip_id` as they came.

    Raises:
        InputError: a number is too small, the clip does not reach as far back or ahead, a camera is unknown, cameras
            have images of different sizes, or the package is missing.
    """
    step = round(time_step * MICROSECONDS)
    counts = {"num_history_steps": num_history_steps, "num_future_steps": num_future_steps, "num_frames": num_frames}
    for name, count in {**counts, "time_step": step}.items():
        if count < 1:
            raise InputError(f"{name}={time_step if name == 'time_step' else count} is too small.")
    if t0_us <= num_history_steps * step:
        raise InputError(
            f"t0_us={t0_us} must be greater than the {num_history_steps * step} us that {num_history_steps} poses of "
            "history take."
        )
    avdi = dataset_interface() if avdi is None else avdi
    if camera_features is None:
        camera_features = [getattr(avdi.features.CAMERA, f"CAMERA_{name}") for name in SEEN]
    cameras = sorted((camera_index(name), name) for name in camera_features)
    motion = avdi.get_clip_feature(clip_id, avdi.features.LABELS.EGOMOTION, maybe_stream=maybe_stream)
    times = t0_us + step * np.arange(1 - num_history_steps, num_future_steps + 1)
    xyz, rot = poses_at(motion, times, num_history_steps - 1, clip_id)
    moments = t0_us + step * np.arange(1 - num_frames, 1)
    seen = [camera_frames(avdi, clip_id, name, moments, maybe_stream) for _, name in cameras]
    shapes = {name: frames.shape[1:] for (_, name), (frames, _) in zip(cameras, seen, strict=True)}
    if len(set(shapes.values())) > 1:
        raise InputError(f"clip {clip_id}: the images of the cameras have different sizes, {shapes}.")
    taken = torch.stack([stamps for _, stamps in seen])
    history, future = slice(None, num_history_steps), slice(num_history_steps, None)
    return {
        "image_frames": torch.stack([frames for frames, _ in seen]),
        "camera_indices": torch.tensor([index for index, _ in cameras]),
        "ego_history_xyz": xyz[None, None, history],
        "ego_history_rot": rot[None, None, history],
        "ego_future_xyz": xyz[None, None, future],
        "ego_future_rot": rot[None, None, future],
        "relative_timestamps": (taken - taken.min()).float() * (1 / MICROSECONDS),
        "absolute_timestamps": taken,
        "t0_us": t0_us,
        "clip_id": clip_id,
    }


def dataset_interface() -> Any:
    """The dataset on the Hub. Raises InputError without the package."""
    try:
        from physical_ai_av import PhysicalAIAVDatasetInterface
    except ImportError as error:
        raise InputError(
            "clips are read by the package physical_ai_av (Python 3.11 or newer): pip install 'vlahub[av]'"
        ) from error
    return PhysicalAIAVDatasetInterface()


def camera_index(feature: str) -> int:
    """The number of a camera, by its name or a path that ends with it. Raises InputError for an unknown one."""
    name = str(feature).rsplit("/", 1)[-1].lower()
    if name not in CAMERAS:
        raise InputError(f"camera_features: {feature!r} is no camera; known are {', '.join(CAMERAS)}.")
    return CAMERAS[name]


def poses_at(motion: Any, times: np.ndarray, origin: int, clip_id: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (times, 3) metres and rotations (times, 3, 3), float32, in the frame of the pose of number `origin`.

    motion: times (n,) int64 microseconds -> a state whose `pose` has `translation` (n, 3) and `rotation`, of scipy.

    Raises:
        InputError: the clip has no poses at these times.
    """
    try:
        pose = motion(times).pose
        xyz, rot = np.asarray(pose.translation), np.asarray(pose.rotation.as_matrix())
    except ValueError as error:  # rotations are not extrapolated
        raise InputError(f"{out_of_reach(motion, times, clip_id)} ({error})") from error
    if not np.isfinite(xyz).all():  # and neither are positions
        raise InputError(f"{out_of_reach(motion, times, clip_id)}.")
    axes = rot[origin]
    local = (xyz - xyz[origin]) @ axes, axes.T @ rot
    return tuple(torch.from_numpy(values).float() for values in local)


def out_of_reach(motion: Any, times: np.ndarray, clip_id: str) -> str:
    known = getattr(motion, "time_range", None)
    where = f", which has them from {known[0]} to {known[1]} us" if known is not None else ""
    return f"poses from {times[0]} to {times[-1]} us are wanted of clip {clip_id}{where}; choose another t0_us"


def camera_frames(
    avdi: Any, clip_id: str, feature: str, moments: np.ndarray, maybe_stream: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one camera the frames (moments, 3, height, width) uint8, and when they were taken, (moments,) int64.

    Raises:
        InputError: the camera has no frames at these times.
    """
    video = avdi.get_clip_feature(clip_id, feature, maybe_stream=maybe_stream)
    try:
        frames, taken = video.decode_images_from_timestamps(moments)
    except ValueError as error:
        raise InputError(f"clip {clip_id}, {feature}: {error}") from error
    frames = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return frames.contiguous(), torch.from_numpy(np.asarray(taken, dtype=np.int64))
