"""One picture of predicted against recorded actions: a row a dimension, a column an episode, and the error by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...training.action_errors import ExecutedActions
from ...training.gripper_events import switches
from ..plots.look import (
    DARK,
    GREY,
    PREDICTED,
    RECORDED,
    WIDTH,
    counted,
    few_ticks,
    in_our_look,
    new_figure,
    place,
    shortened,
    words,
)
from ..plots.picture_file import figure_class_of_matplotlib, save

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARK = "vlahub evaluate"
MOST_ROWS = 10  # with more dimensions there are two blocks of rows, and one episode
# Inches.
LEFT, BETWEEN, RIGHT, GAP, HEADER, ROW_TITLE, PANEL, ROW_GAP, BOTTOM = 0.75, 0.7, 0.25, 0.2, 1.45, 0.24, 0.85, 0.13, 0.6
PITCH = ROW_TITLE + PANEL + ROW_GAP
MARKERS = {1: "^", -1: "v"}
SPREAD = {"color": GREY, "linestyle": ":", "linewidth": 1.5}


@dataclass(frozen=True)
class Columns:
    """Where the panels of one block stand: places from the left and widths, in inches."""

    episodes: list[float]
    episode_width: float
    steps: float
    steps_width: float

    @classmethod
    def of_block(cls, left: float, width: float, episodes: int) -> "Columns":
        steps_width = 0.2 * width - 0.2
        whole = width - LEFT - BETWEEN - RIGHT - steps_width
        each = (whole - (episodes - 1) * GAP) / episodes
        places = [left + LEFT + i * (each + GAP) for i in range(episodes)]
        return cls(places, each, left + LEFT + whole + BETWEEN, steps_width)


def plot_actions(
    path: Path,
    actions: ExecutedActions,
    result: Mapping[str, Any],
    units: Sequence[str],
    fps: float | None,
    episodes: int,
) -> None:
    """Write the picture; the suffix names the format, as matplotlib knows them.

    Args:
        The others are those of `evaluation_figure`.

    Raises:
        ConversionError: matplotlib is not installed.
    """
    figure_class_of_matplotlib()
    save(evaluation_figure(actions, result, units, fps, episodes), path, MARK)


@in_our_look
def evaluation_figure(
    actions: ExecutedActions, result: Mapping[str, Any], units: Sequence[str], fps: float | None, episodes: int = 3
) -> "Figure":
    """Both lines of each dimension over time, with the gripper's switches, and the mean absolute error by step.

    Args:
        actions: of the frames that chunks reach.
        result: what `vlahub evaluate` writes, with the names of the dimensions.
        units: of the dimensions; empty where they are not known.
        fps: frames in a second; `None`: the time is in frames.
        episodes: the first so many are drawn; one where there are more than ten dimensions.
    """
    names = result["dimensions"]
    blocks = 1 if len(names) <= MOST_ROWS else 2
    shown = list(dict.fromkeys(actions.episode.tolist()))[: episodes if blocks == 1 else 1]
    rows = -(-len(names) // blocks)
    figure = new_figure(HEADER + rows * PITCH + BOTTOM, f"{result['checkpoint']} on {result['dataset']}: actions")
    _write_header(figure, result, any(units), len(shown))
    grippers = {found["dimension"]: found for found in result["gripper"]}
    for block in range(blocks):
        columns = Columns.of_block(block * WIDTH / blocks, WIDTH / blocks, len(shown))
        dimensions = range(block * rows, min((block + 1) * rows, len(names)))
        for row, i in enumerate(dimensions):
            top, is_last = HEADER + row * PITCH, i == dimensions[-1]
            words(
                figure,
                columns.episodes[0],
                top,
                row_title(result, i, units[i], grippers.get(i), blocks > 1),
                fontsize=9,
            )
            top += ROW_TITLE
            _draw_row(figure, columns, top, actions, i, shown, fps, grippers.get(i), is_last)
            axes = place(figure, columns.steps, top, columns.steps_width, PANEL)
            draw_steps(axes, [step[i] for step in result["per_step"]["mae"]], result["recorded_std"][i], is_last)
        for episode, left in zip(shown, columns.episodes, strict=True):
            words(figure, left, HEADER - 0.28, f"episode {episode}", fontweight="bold")
        words(figure, columns.steps, HEADER - 0.28, "MAE by step", fontweight="bold")
    return figure


def row_title(
    result: Mapping[str, Any], i: int, unit: str, gripper: Mapping[str, Any] | None = None, is_narrow: bool = False
) -> str:
    """The name of a dimension with its unit and errors; of a gripper, how many switches are met."""
    name = shortened(str(result["dimensions"][i]), 22 if is_narrow else 40) + (f" ({unit})" if unit else "")
    text = f"{name}:  MAE {result['mae'][i]:.3g}"
    text += "" if is_narrow else f",  RMSE {result['rmse'][i]:.3g}"
    if gripper is None:
        return text
    if gripper["threshold"] is None:
        return f"{text},  never switches"
    return f"{text},  {gripper['matched']} of {gripper['recorded']} switches met, {gripper['predicted']} predicted"


def _write_header(figure: "Figure", result: Mapping[str, Any], has_units: bool, shown: int) -> None:
    from matplotlib.lines import Line2D

    units = "" if has_units else ", in the units of the dataset's actions"
    count = f"{counted(result['samples'], 'chunk')} of {counted(len(result['episodes']), 'episode')}, drawn: {shown}"
    text = f"Open loop: mean absolute error {result['action_error']:.4g}{units} ({count})"
    words(figure, 0.25, 0.48, text)
    handles = [
        Line2D([], [], label="recorded", **RECORDED),
        Line2D([], [], label="predicted", **PREDICTED),
        Line2D([], [], label="spread of the recording: an error as large is no better than its mean", **SPREAD),
    ]
    if any(found["threshold"] is not None for found in result["gripper"]):
        style = {"marker": "^", "linestyle": "none", "color": GREY}
        handles.append(Line2D([], [], label="gripper switches up or down", **style))
    corner = 0.12 / WIDTH, 1 - 0.68 / figure.get_figheight()
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, ncols=4, columnspacing=1.4)


def _draw_row(
    figure: "Figure",
    columns: Columns,
    top: float,
    actions: ExecutedActions,
    dimension: int,
    shown: Sequence[int],
    fps: float | None,
    gripper: Mapping[str, Any] | None,
    is_last: bool,
) -> None:
    """One dimension of each episode, with the same limits in all of them."""
    panels = []
    for episode, left in zip(shown, columns.episodes, strict=True):
        axes = place(figure, left, top, columns.episode_width, PANEL)
        rows = actions.episode == episode
        draw_dimension(axes, actions, rows, dimension, fps)
        if gripper is not None and gripper["threshold"] is not None:
            draw_switches(axes, actions, rows, dimension, gripper["threshold"], fps)
        panels.append(axes)
        few_ticks(axes.yaxis)
        axes.tick_params(labelleft=episode == shown[0], labelbottom=is_last)
        few_ticks(axes.xaxis, 6, whole=fps is None)
        if is_last:
            axes.set_xlabel("frame" if fps is None else "time (s)")
    low, high = (edge([axes.get_ylim() for axes in panels]) for edge in (np.min, np.max))
    room = 0.3 * (high - low) if gripper is not None else 0
    for axes in panels:
        axes.set_ylim(low - room, high + room)


def draw_dimension(
    axes: "Axes", actions: ExecutedActions, rows: np.ndarray, dimension: int, fps: float | None = None
) -> None:
    """Both lines of one episode, broken where frames have no prediction."""
    time, follows = actions.frame[rows] / (fps or 1), actions.follows[rows]
    gaps = np.flatnonzero(~follows)[1:]
    for name, style in (("recorded", RECORDED), ("predicted", PREDICTED)):
        values = getattr(actions, name)[rows, dimension].astype(float)
        style = style | ({"marker": "o", "markersize": 3} if len(time) < 3 else {})
        axes.plot(np.insert(time, gaps, time[gaps]), np.insert(values, gaps, np.nan), label=name, **style)


def draw_switches(
    axes: "Axes", actions: ExecutedActions, rows: np.ndarray, dimension: int, threshold: float, fps: float | None
) -> None:
    """Recorded switches of a gripper at the top, predicted ones at the bottom, and the threshold between its states."""
    axes.axhline(threshold, color=GREY, linestyle=":", linewidth=0.8)
    for name, height, style in (("recorded", 0.9, RECORDED), ("predicted", 0.1, PREDICTED)):
        found = switches(getattr(actions, name)[:, dimension] > threshold, actions.follows)
        for sign, marker in MARKERS.items():
            time = actions.frame[rows & (found == sign)] / (fps or 1)
            axes.plot(
                time,
                np.full(len(time), height),
                marker,
                color=style["color"],
                markersize=5,
                transform=axes.get_xaxis_transform(),
                label=f"{name} {'up' if sign > 0 else 'down'}",
            )


def draw_steps(axes: "Axes", errors: Sequence[float | None], spread: float, is_last: bool) -> None:
    """The mean absolute error of each step of the chunk, and the standard deviation of what was recorded."""
    values = [np.nan if error is None else error for error in errors]
    axes.bar(range(len(values)), values, color=PREDICTED["color"], width=0.7)
    axes.axhline(spread, **SPREAD)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_ylim(0, max(*np.nan_to_num(values), spread) * 1.15 or 1)
    few_ticks(axes.yaxis, 3)
    few_ticks(axes.xaxis, 5, whole=True)
    axes.grid(axis="x", visible=False)
    axes.tick_params(labelbottom=is_last)
    if is_last:
        axes.set_xlabel("step of the chunk", color=DARK)
