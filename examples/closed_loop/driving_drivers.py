"""Who drives in the replay: a model from what its cameras see, the scripted driver, and two that see nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from driving_cameras import CAMERAS
from driving_demonstrations import FRAMES, frame_of
from driving_expert import pursued
from driving_motion import TIME_STEP, Poses, along_arc, pose, seen_from, stacked, yaw_of
from driving_replay import PLAN_EVERY, history_of
from driving_road import Drive
from PIL import Image

ORIGIN = pose(np.zeros(2), 0.0)


class ModelDriver:
    """An Alpamayo-R1 with its processor. One trajectory is drawn of each scene; the same seed draws the same ones."""

    def __init__(self, model: Any, processor: Any, seed: int = 0, max_new_tokens: int = 16):
        self.model, self.processor, self.max_new_tokens = model, processor, max_new_tokens
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, drives: Sequence[Drive]) -> list[Poses]:
        histories = [history_of(drive) for drive in drives]
        xyz, rot = (np.stack([getattr(each, name) for each in histories]) for name in ("xyz", "rot"))
        inputs = self.processor([frames_now(drive) for drive in drives], xyz, rot)
        text = {"top_k": 1, "max_new_tokens": self.max_new_tokens}
        drawn = self.model.sample_trajectories(**inputs, **text, num_traj_samples=1, generator=self.generator)
        xyz, rot = (each[:, 0, 0].double().numpy() for each in (drawn.pred_xyz, drawn.pred_rot))
        return [Poses(*path) for path in zip(xyz, rot, strict=True)]


def frames_now(drive: Drive) -> dict[str, list[Image.Image]]:
    """The last `FRAMES` frames of each camera by its name, the oldest first."""
    steps = range(len(drive.along) - FRAMES, len(drive.along))
    return {name: [frame_of(drive, camera, step) for step in steps] for name, camera in CAMERAS.items()}


def expert(drives: Sequence[Drive]) -> list[Poses]:
    """The scripted driver, who knows the road."""
    plans = []
    for drive in drives:
        car = drive.path.at(-1)
        path, _ = pursued(drive.road, car, float(drive.along[-1]), speed_of(drive), PLAN_EVERY)
        plans.append(seen_from(car, path))
    return plans


def straight_on(drives: Sequence[Drive]) -> list[Poses]:
    """As fast as before, and straight on."""
    return [arc(speed_of(drive), 0.0) for drive in drives]


def as_before(drives: Sequence[Drive]) -> list[Poses]:
    """As fast as before, and on the circle of the last second."""
    plans = []
    for drive in drives:
        back = history_of(drive).at(-11)
        plans.append(arc(speed_of(drive), -float(yaw_of(back.rot)) / speed_of(drive)))
    return plans


def speed_of(drive: Drive) -> float:
    """The last one, m/s."""
    return float(np.linalg.norm(drive.path.xyz[-1] - drive.path.xyz[-2])) / TIME_STEP


def arc(speed: float, curvature: float) -> Poses:
    """The next poses on a circle through the car, in its frame."""
    return stacked([along_arc(ORIGIN, speed * TIME_STEP * step, curvature) for step in range(1, PLAN_EVERY + 1)])
