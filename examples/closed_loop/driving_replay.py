"""A kinematic replay: the car is where its plan says, and twice a second it plans anew from where it is."""

from collections.abc import Callable, Sequence

import numpy as np
from driving_expert import pursued
from driving_motion import TIME_STEP, Poses, placed_at, pose, seen_from
from driving_road import HALF_LANE, Drive, Road

PLAN_EVERY = 5  # steps of `TIME_STEP`
CAR_WIDTH = 1.8  # metres
HISTORY = 16  # poses up to now that a driver knows

# From drives, each up to now, to the paths ahead (steps, ...) in the frame of the car, of `PLAN_EVERY` steps or more.
Driver = Callable[[Sequence[Drive]], list[Poses]]


def replay(driver: Driver, starts: Sequence[Drive], seconds: float) -> list[Drive]:
    """Drive on so many seconds; all cars at once, each on its road."""
    drives = list(starts)
    for _ in range(round(seconds / (PLAN_EVERY * TIME_STEP))):
        plans = driver(drives)
        drives = [followed(drive, plan) for drive, plan in zip(drives, plans, strict=True)]
    return drives


def followed(drive: Drive, plan: Poses) -> Drive:
    """A drive with the first `PLAN_EVERY` poses of a plan, which is in the frame of its last pose, behind it."""
    path = placed_at(drive.path.at(-1), Poses(plan.xyz[:PLAN_EVERY], plan.rot[:PLAN_EVERY]))
    along = [drive.along[-1]]
    for xyz in path.xyz:
        along.append(drive.road.nearest(xyz[:2], along[-1])[0])
    return Drive(drive.road, drive.path.then(path), np.concatenate([drive.along, along[1:]]))


def history_of(drive: Drive) -> Poses:
    """The last `HISTORY` poses in the frame of the very last one."""
    return seen_from(drive.path.at(-1), drive.path.last(HISTORY))


def started(road: Road, speed: float) -> Drive:
    """The first 1.5 s along the lane's centre, which every driver is given as what was driven already."""
    place, heading = road.at(0.0)
    first = pose(place, float(heading))
    path, along = pursued(road, first, 0.0, speed, HISTORY - 1)
    return Drive(road, Poses(first.xyz[None], first.rot[None]).then(path), np.concatenate([[0.0], along]))


def offsets(drive: Drive) -> np.ndarray:
    """Metres to the left of the lane's centre at each pose that was driven after the start, (steps,)."""
    pairs = zip(drive.path.xyz[HISTORY:], drive.along[HISTORY:], strict=True)
    return np.array([drive.road.nearest(xyz[:2], along)[1] for xyz, along in pairs])


def in_lane(drives: Sequence[Drive], width: float = CAR_WIDTH) -> tuple[float, float]:
    """Of these drives, the share of the time in which a car of this width, in metres, is within its lane, and the share
    of those in which it always is; width 0: the car's centre."""
    inside = np.array([np.abs(offsets(drive)) + width / 2 <= HALF_LANE for drive in drives])
    return float(inside.mean()), float(inside.all(axis=1).mean())
