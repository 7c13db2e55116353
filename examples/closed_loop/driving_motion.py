"""How a car moves: poses on a plane in a fixed frame and in the car's own, and a step along an arc.

A pose is a position (3,), metres, and a rotation (3, 3) from the car's frame (x ahead, y left, z up) to the fixed one.
"""

from typing import NamedTuple

import numpy as np

TIME_STEP = 0.1  # seconds


class Poses(NamedTuple):
    """xyz: (..., 3) metres; rot: (..., 3, 3)."""

    xyz: np.ndarray
    rot: np.ndarray

    def last(self, count: int) -> "Poses":
        """The last ones of a path (steps, ...)."""
        return Poses(self.xyz[-count:], self.rot[-count:])

    def at(self, index: int) -> "Poses":
        """One pose of a path."""
        return Poses(self.xyz[index], self.rot[index])

    def then(self, others: "Poses") -> "Poses":
        """A path (steps, ...) and another behind it."""
        return Poses(np.concatenate([self.xyz, others.xyz]), np.concatenate([self.rot, others.rot]))


def pose(place: np.ndarray, yaw: float) -> Poses:
    """The pose of a car at a place (2,) of the plane with this heading."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return Poses(np.array([*place, 0.0]), np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]))


def yaw_of(rot: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> headings (...), radians counterclockwise from x."""
    return np.arctan2(rot[..., 1, 0], rot[..., 0, 0])


def seen_from(car: Poses, path: Poses) -> Poses:
    """A path in the frame of a car's pose."""
    return Poses((path.xyz - car.xyz) @ car.rot, car.rot.T @ path.rot)


def placed_at(car: Poses, path: Poses) -> Poses:
    """The inverse of `seen_from`: a path in the frame of a car's pose, in the fixed frame."""
    return Poses(path.xyz @ car.rot.T + car.xyz, car.rot @ path.rot)


def along_arc(car: Poses, distance: float, curvature: float) -> Poses:
    """The pose so many metres on, on a circle of this curvature (1/m, positive to the left)."""
    turn = curvature * distance
    chord = distance * np.sinc(turn / 2 / np.pi)
    ahead = pose(chord * np.array([np.cos(turn / 2), np.sin(turn / 2)]), turn)
    return placed_at(car, ahead)


def stacked(path: list[Poses]) -> Poses:
    """Single poses as one path (steps, ...)."""
    return Poses(np.stack([each.xyz for each in path]), np.stack([each.rot for each in path]))
