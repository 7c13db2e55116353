"""The scripted driver: pure pursuit of the lane's centre at constant speed.

Coulter, Implementation of the Pure Pursuit Path Tracking Algorithm, CMU-RI-TR-92-01 (1992).
"""

from collections.abc import Callable

import numpy as np
from driving_motion import TIME_STEP, Poses, along_arc, seen_from, stacked
from driving_road import Road

LOOKAHEAD = 0.65  # seconds of driving to the point that is pursued
SHARPEST = 0.2  # 1/m


def pursuit_curvature(road: Road, along: float, car: Poses, speed: float, left: float = 0.0) -> float:
    """Curvature, 1/m, of the circle through the car that leads to the pursued point; left: metres from the centre."""
    place, heading = road.at(along + LOOKAHEAD * speed)
    place = place + left * np.array([-np.sin(heading), np.cos(heading)])
    target = seen_from(car, Poses(np.array([*place, car.xyz[2]]), car.rot)).xyz
    return float(np.clip(2 * target[1] / (target[:2] @ target[:2]), -SHARPEST, SHARPEST))


def pursued(
    road: Road, car: Poses, along: float, speed: float, steps: int, left: Callable[[int], float] = lambda step: 0.0
) -> tuple[Poses, np.ndarray]:
    """The path (steps, ...) that the driver takes from a pose on, and metres along the road at each of its poses.

    left: metres from the centre that are pursued in each step.
    """
    path, places = [], []
    for step in range(steps):
        curvature = pursuit_curvature(road, along, car, speed, left(step))
        car = along_arc(car, speed * TIME_STEP, curvature)
        along, _ = road.nearest(car.xyz[:2], along)
        path.append(car)
        places.append(along)
    return stacked(path), np.array(places)
