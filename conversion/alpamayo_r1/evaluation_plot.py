"""One picture of some scenes: the trajectories from above, and each coordinate over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..predictions.action_plot import MARK, STYLES
from ..predictions.pictures import figure_class_of_matplotlib, metadata_for

SCENES = 4
TIME_STEP = 0.1  # seconds between two waypoints


def plot_scenes(path: Path, predicted: np.ndarray, best: np.ndarray, driven: np.ndarray, titles: Sequence[str]) -> None:
    """Write the picture; the suffix names the format, as matplotlib knows them.

    Args:
        predicted: (scenes, samples, waypoints, 3) metres; some scenes are drawn, from the first to the last.
        best: (scenes, waypoints, 3), the sample of each scene whose coordinates are drawn over time.
        driven: (scenes, waypoints, 3).
        titles: of the scenes.

    Raises:
        ConversionError: matplotlib is not installed.
    """
    shown = np.unique(np.linspace(0, len(best) - 1, SCENES).round().astype(int))
    figure = figure_class_of_matplotlib()(figsize=(4 * len(shown) + 1, 9), layout="constrained")
    grid = figure.subplots(4, len(shown), squeeze=False, height_ratios=[3, 1, 1, 1])
    for column, scene in enumerate(shown):
        grid[0, column].set_title(titles[scene], fontsize=9)
        draw_from_above(grid[0, column], predicted[scene], driven[scene])
        for i, name in enumerate("xyz"):
            draw_coordinate(grid[i + 1, column], best[scene, :, i], driven[scene, :, i])
            grid[i + 1, 0].set_ylabel(f"{name} (m)")
        grid[-1, column].set_xlabel("seconds")
    grid[1, 0].legend(fontsize=8)
    figure.savefig(path, metadata=metadata_for(path, MARK))


def draw_from_above(axes: Any, predicted: np.ndarray, driven: np.ndarray) -> None:
    """All samples (samples, waypoints, 3) and the driven path; ahead is up, left is left."""
    for sample in predicted:
        axes.plot(sample[:, 1], sample[:, 0], **{**STYLES["predicted"], "alpha": 0.6})
    axes.plot(driven[:, 1], driven[:, 0], **STYLES["recorded"])
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_xaxis()
    axes.grid(alpha=0.3)


def draw_coordinate(axes: Any, predicted: np.ndarray, driven: np.ndarray) -> None:
    """One coordinate (waypoints,) over time."""
    seconds = np.arange(1, len(driven) + 1) * TIME_STEP
    axes.plot(seconds, driven, label="recorded", **STYLES["recorded"])
    axes.plot(seconds, predicted, label="predicted", **STYLES["predicted"])
    axes.grid(alpha=0.3)
