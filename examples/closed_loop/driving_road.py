"""A drawn road for a closed loop: the centre of one lane, which bends to both sides, and where a car is on it.

Metres and radians, in a fixed frame (x, y on the ground, headings counterclockwise from x).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from driving_motion import Poses, placed_at, pose

SPACING = 0.5  # metres between two points of the centre
HALF_LANE = 1.75  # metres
RADII = (22.0, 45.0)  # of the bends
BEND_LENGTHS, STRAIGHT_LENGTHS = (16.0, 30.0), (0.0, 12.0)
EASING = 10.0  # metres in which a bend begins
WINDOW = 15.0  # metres of the road in which the nearest point is looked for, to both sides of where the car was


@dataclass(frozen=True)
class Road:
    """The centre of a lane: points (n, 2), `SPACING` apart, and its headings (n,) there."""

    points: np.ndarray
    headings: np.ndarray

    @property
    def length(self) -> float:
        """Metres."""
        return (len(self.points) - 1) * SPACING

    def at(self, along: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 2) and headings (...) so many metres from the beginning; straight on behind the end."""
        place = np.clip(np.asarray(along) / SPACING, 0, len(self.points) - 1 - 1e-9)
        before = place.astype(int)
        share = place - before
        points = self.points[before] + share[..., None] * (self.points[before + 1] - self.points[before])
        headings = self.headings[before] + share * (self.headings[before + 1] - self.headings[before])
        beyond = np.maximum(np.asarray(along) - self.length, 0)
        return points + beyond[..., None] * np.stack([np.cos(headings), np.sin(headings)], axis=-1), headings

    def nearest(self, place: np.ndarray, near: float) -> tuple[float, float]:
        """Metres along the road and metres to the left of its centre of a place (2,); near: about how far along."""
        first = max(int((near - WINDOW) / SPACING), 0)
        points = self.points[first : int((near + WINDOW) / SPACING) + 2]
        steps = np.diff(points, axis=0)
        share = np.clip(((place - points[:-1]) * steps).sum(axis=1) / (steps**2).sum(axis=1), 0, 1)
        away = place - points[:-1] - share[:, None] * steps
        best = int(np.argmin((away**2).sum(axis=1)))
        left = np.sign(steps[best, 0] * away[best, 1] - steps[best, 1] * away[best, 0]) * np.hypot(*away[best])
        return (first + best + share[best]) * SPACING, float(left)

    def turned(self, angle: float, shift: np.ndarray) -> "Road":
        """The same road in another frame: turned about the origin, then moved by (2,) metres."""
        cos, sin = np.cos(angle), np.sin(angle)
        return Road(self.points @ np.array([[cos, sin], [-sin, cos]]) + shift, self.headings + angle)


class Drive(NamedTuple):
    """A road, a path on it (steps, ...), and metres along the road at each of its poses."""

    road: Road
    path: Poses
    along: np.ndarray

    def turned(self, angle: float, shift: np.ndarray) -> "Drive":
        """The same in another frame, see `Road.turned`."""
        frame = pose(shift, angle)
        return Drive(self.road.turned(angle, shift), placed_at(frame, self.path), self.along)


def drawn_road(random: np.random.RandomState, length: float = 300.0) -> Road:
    """Bends to the left and to the right and straight pieces between them, from the origin along x."""
    pieces, total, heading = [np.zeros(int(12 / SPACING))], 12.0, 0.0
    while total < length:
        bend, straight = random.uniform(*BEND_LENGTHS), random.uniform(*STRAIGHT_LENGTHS)
        side = -np.sign(heading) if abs(heading) > 0.5 else random.choice([-1.0, 1.0])
        curvature = side / random.uniform(*RADII)
        pieces += [np.full(round(bend / SPACING), curvature), np.zeros(round(straight / SPACING))]
        heading, total = heading + curvature * bend, total + bend + straight
    curvatures = np.concatenate(pieces)
    window = np.ones(round(EASING / SPACING)) / round(EASING / SPACING)
    curvatures = np.convolve(curvatures, window, mode="same")[: int(length / SPACING)]
    return road_of(curvatures)


def road_of(curvatures: np.ndarray) -> Road:
    """The road from the origin along x with these curvatures (n,) in 1/m, one each `SPACING`."""
    headings = np.concatenate([[0.0], np.cumsum(curvatures) * SPACING])
    middle = (headings[1:] + headings[:-1]) / 2
    chord = SPACING * np.sinc(curvatures * SPACING / 2 / np.pi)
    steps = chord[:, None] * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    return Road(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), headings)
