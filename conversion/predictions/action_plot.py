"""One picture of predicted against recorded actions: a row a dimension, a column an episode."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...training.action_errors import ExecutedActions
from .pictures import figure_class_of_matplotlib, metadata_for

MARK = "vlahub evaluate"
STYLES = {"recorded": {"color": "tab:green"}, "predicted": {"color": "tab:blue", "linestyle": "--"}}


def plot_actions(
    path: Path, actions: ExecutedActions, names: Sequence[str], thresholds: Mapping[int, float | None], episodes: int
) -> None:
    """Write the picture; the suffix names the format, as matplotlib knows them.

    Args:
        names: of the dimensions.
        thresholds: of grippers, by dimension, drawn as a line.
        episodes: the first so many are drawn.

    Raises:
        ConversionError: matplotlib is not installed.
    """
    shown = list(dict.fromkeys(actions.episode.tolist()))[:episodes]
    figure = figure_class_of_matplotlib()(figsize=(5 * len(shown) + 1, 1.6 * len(names) + 1), layout="constrained")
    grid = figure.subplots(len(names), len(shown), squeeze=False, sharex="col", sharey="row")
    for column, episode in enumerate(shown):
        rows = actions.episode == episode
        for dimension, axes in enumerate(grid[:, column]):
            draw_dimension(axes, actions, rows, dimension)
            if thresholds.get(dimension) is not None:
                axes.axhline(thresholds[dimension], color="tab:grey", linestyle=":", linewidth=1)
        grid[0, column].set_title(f"episode {episode}", fontsize=9)
        grid[-1, column].set_xlabel("frame")
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.set_ylabel(name)
    grid[0, 0].legend(fontsize=8)
    figure.savefig(path, metadata=metadata_for(path, MARK))


def draw_dimension(axes: Any, actions: ExecutedActions, rows: np.ndarray, dimension: int) -> None:
    """Both lines of one episode, broken where frames have no prediction."""
    frame, follows = actions.frame[rows], actions.follows[rows]
    gaps = np.flatnonzero(~follows)[1:]
    for name, style in STYLES.items():
        values = getattr(actions, name)[rows, dimension].astype(float)
        axes.plot(np.insert(frame, gaps, frame[gaps]), np.insert(values, gaps, np.nan), label=name, **style)
    axes.grid(alpha=0.3)
