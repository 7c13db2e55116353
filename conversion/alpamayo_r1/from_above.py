"""Trajectories seen from above: the car at the origin, ahead is up, left is left, equal scales, metres."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SECOND = 10  # waypoints
LEAST_SPAN = 8.0  # metres; a car that stands is not drawn as if it flew
MARGIN = 0.06  # of the span, around all that is drawn


def draw_path(axes: Any, points: np.ndarray, **style: Any) -> Any:
    """The line of a path, (steps, 3) or (steps, 2) metres: x ahead is up, y to the left is left; a dot each second."""
    dots = {"marker": "o", "markersize": 3, "markevery": (SECOND - 1, SECOND)}
    [line] = axes.plot(points[:, 1], points[:, 0], **{**dots, **style})
    return line


def draw_car(axes: Any, **style: Any) -> None:
    """The car at t0."""
    axes.plot(0, 0, **{"marker": "^", "color": "#1A1A1A", "markersize": 9, "linestyle": "none", "zorder": 5, **style})


def fit_limits(axes: Any, paths: Sequence[np.ndarray]) -> None:
    """Limits that hold all paths and the car, with equal scales, in axes whose size is final."""
    points = np.concatenate([np.zeros((1, 2)), *(path.reshape(-1, path.shape[-1])[:, :2] for path in paths)])
    low, high = points.min(axis=0), points.max(axis=0)
    middle, span = (low + high) / 2, np.maximum(high - low, LEAST_SPAN) * (1 + 2 * MARGIN)
    box = axes.get_window_extent()
    scale = max(span[0] / box.height, span[1] / box.width)  # metres of a pixel
    ahead, left = scale * box.height / 2, scale * box.width / 2
    axes.set_xlim(middle[1] + left, middle[1] - left)
    axes.set_ylim(middle[0] - ahead, middle[0] + ahead)
    axes.set_aspect("equal", adjustable="datalim")
    axes.xaxis.set_major_formatter(side_text)
    axes.tick_params(axis="x", pad=6)  # clear of the lowest number beside the axis
    axes.set(xlabel="to the side (m)", ylabel="ahead (m)")


def side_text(value: float, _: int = 0) -> str:
    """A tick of the axis to the side, where y is positive to the left."""
    size = f"{abs(value):.4g}"
    return size if size == "0" else f"{size} {'left' if value > 0 else 'right'}"


def badge_places(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Places on a line from low to high, in the order of the wanted ones, at least `gap` apart, nearest in squares.

    Where there is no room for all, they are spread evenly. The places less their ranks times the gap are the isotonic
    regression of the wanted ones, by pooling adjacent violators (Barlow et al., 1972).
    """
    order = np.argsort(wanted, kind="stable")
    ranks = np.arange(len(order))
    gap = min(gap, (high - low) / max(len(order) - 1, 1))
    pools: list[tuple[float, int]] = []  # mean and size
    for value in np.asarray(wanted, dtype=float)[order] - ranks * gap:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (first, n), (second, m) = pools[-2:]
            pools[-2:] = [((first * n + second * m) / (n + m), n + m)]
    found = np.concatenate([np.full(size, mean) for mean, size in pools])
    places = np.empty(len(order))
    places[order] = np.clip(found, low, high - gap * (len(order) - 1)) + ranks * gap
    return places
