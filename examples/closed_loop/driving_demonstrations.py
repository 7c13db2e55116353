"""What the scripted driver drives, as data: a car that has strayed from the centre of the lane comes back to it.

The 1.5 s behind a scene wander, so that what is ahead follows from what is seen and not from what was driven.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, Sequence, Value
from driving_cameras import CAMERAS, RoadCamera
from driving_expert import pursued
from driving_motion import TIME_STEP, Poses, pose, yaw_of
from driving_replay import HISTORY
from driving_road import Drive, drawn_road
from PIL import Image as PILImage

WAYPOINTS = 24  # poses ahead that a model learns, `TIME_STEP` apart
FRAMES = 4  # of each camera in a scene
SPEEDS = (8.0, 12.0)  # m/s
ASTRAY = 1.3  # metres from the centre, at most, that a wandering car pursues
REASONING = "go"
POSE = "observation.state"
COLUMNS = {name: f"observation.images.{name}" for name in CAMERAS}
FEATURES = Features(
    {
        "episode_index": Value("int64"),
        "frame_index": Value("int64"),
        "timestamp": Value("float32"),
        POSE: Sequence(Value("float64"), length=7),
        **dict.fromkeys(COLUMNS.values(), Image()),
        "reasoning": Value("string"),
    }
)


def write_demonstrations(folder: str | Path, drives: int, seed: int = 0, scenes: int = 2) -> None:
    """Write a `Dataset.save_to_disk` folder that `vlahub train` reads; the same arguments give the same data.

    Each drive is an episode with so many scenes, a step apart. Rows that are in no scene's frames, which is most of the
    path ahead, have no picture.
    """
    random = np.random.RandomState(seed)
    rows = [row for episode in range(drives) for row in rows_of(wandering_drive(random, scenes), episode, scenes)]
    columns = {name: [row[name] for row in rows] for name in FEATURES}
    Dataset.from_dict(columns, features=FEATURES).save_to_disk(str(folder))


def wandering_drive(random: np.random.RandomState, scenes: int) -> Drive:
    """Poses for so many scenes, a step apart: 1.5 s of wandering, then the driver comes back to the centre."""
    road, speed = drawn_road(random, 200.0), random.uniform(*SPEEDS)
    along, first, last = random.uniform(2, 120), *random.uniform(-ASTRAY, ASTRAY, 2)
    place, heading = road.at(along)
    side = np.array([-np.sin(heading), np.cos(heading)])
    start = pose(place + first * side, heading + random.uniform(-0.1, 0.1))
    behind = HISTORY - 1

    def left(step: int) -> float:
        return first + (last - first) * (step + behind / 2) / behind if step < behind else 0.0

    path, places = pursued(road, start, along, speed, behind + scenes - 1 + WAYPOINTS, left)
    started = Poses(start.xyz[None], start.rot[None])
    return Drive(road, started.then(path), np.concatenate([[along], places]))


def rows_of(drive: Drive, episode: int, scenes: int) -> Iterator[dict[str, Any]]:
    """The rows of one episode."""
    seen = range(HISTORY - FRAMES, HISTORY - 1 + scenes)
    for step in range(len(drive.along)):
        half = yaw_of(drive.path.rot[step]) / 2
        yield {
            "episode_index": episode,
            "frame_index": step,
            "timestamp": step * TIME_STEP,
            POSE: [*drive.path.xyz[step], np.cos(half), 0.0, 0.0, np.sin(half)],
            **{
                COLUMNS[name]: frame_of(drive, camera, step) if step in seen else None
                for name, camera in CAMERAS.items()
            },
            "reasoning": REASONING,
        }


def frame_of(drive: Drive, camera: RoadCamera, step: int) -> PILImage.Image:
    """What a camera sees at a step of a drive."""
    car = drive.path.at(step)
    return camera.frame(drive.road, drive.along[step], car.xyz[:2], float(yaw_of(car.rot)))
