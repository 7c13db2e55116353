"""One picture of some scenes, from above and over time, and how the errors of all scenes grow with the horizon."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...training.alpamayo_r1.time_step import TIME_STEP
from ..plots.look import (
    BLUE,
    COLOURS,
    PREDICTED,
    RECORDED,
    WIDTH,
    counted,
    few_ticks,
    in_our_look,
    new_figure,
    place,
    words,
)
from ..plots.picture_file import figure_class_of_matplotlib, save
from ..predictions.action_plot import MARK
from .from_above import draw_car, draw_path, fit_limits

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCENES = 4
OTHERS: dict[str, Any] = {"color": BLUE, "linewidth": 0.8, "alpha": 0.55}  # samples that are not the best
# Inches.
LEFT, BETWEEN, HEADER, ABOVE, SMALL, SMALL_PITCH, WHOLE = 0.7, 0.8, 1.5, 3.0, 0.75, 0.93, 1.8
SMALL_TOP = HEADER + ABOVE + 0.75
WHOLE_TOP = SMALL_TOP + 4 * SMALL_PITCH + 1.05


def plot_scenes(
    path: Path,
    predicted: np.ndarray,
    best: np.ndarray,
    driven: np.ndarray,
    titles: Sequence[str],
    result: Mapping[str, Any],
) -> None:
    """Write the picture; the suffix names the format, as matplotlib knows them.

    Args:
        The others are those of `scenes_figure`.

    Raises:
        ConversionError: matplotlib is not installed.
    """
    figure_class_of_matplotlib()
    save(scenes_figure(predicted, best, driven, titles, result), path, MARK)


@in_our_look
def scenes_figure(
    predicted: np.ndarray, best: np.ndarray, driven: np.ndarray, titles: Sequence[str], result: Mapping[str, Any]
) -> "Figure":
    """Four scenes, a column each, and below them the errors of all.

    Args:
        predicted: (scenes, samples, waypoints, 3) metres; some scenes are drawn, from the first to the last.
        best: (scenes, waypoints, 3), the sample of each scene whose coordinates are drawn over time.
        driven: (scenes, waypoints, 3).
        titles: of the scenes.
        result: what `vlahub evaluate` writes.
    """
    shown = np.unique(np.linspace(0, len(best) - 1, SCENES).round().astype(int))
    figure = new_figure(WHOLE_TOP + WHOLE + 0.6, f"{result['checkpoint']} on {result['dataset']}: trajectories")
    _write_header(figure, result, len(shown))
    pitch = (WIDTH - LEFT + BETWEEN - 0.2) / len(shown)
    wide = pitch - BETWEEN
    for column, scene in enumerate(shown):
        left = LEFT + column * pitch
        words(figure, left, HEADER - 0.3, titles[scene], fontweight="bold")
        axes = place(figure, left, HEADER, wide, ABOVE)
        draw_from_above(axes, predicted[scene], best[scene], driven[scene])
        axes.set_ylabel("ahead (m)" if column == 0 else "")
        _draw_over_time(figure, (left, wide), predicted[scene], best[scene], driven[scene], column == 0)
    words(figure, LEFT, WHOLE_TOP - 0.32, "All scenes: errors up to each second", fontweight="bold")
    draw_horizons(place(figure, LEFT, WHOLE_TOP, 5.0, WHOLE), result["horizons"])
    words(figure, LEFT + 5.9, WHOLE_TOP - 0.32, "All scenes: mean absolute error of the best sample", fontweight="bold")
    draw_steps(place(figure, LEFT + 5.9, WHOLE_TOP, 5.1, WHOLE), result)
    return figure


def _write_header(figure: "Figure", result: Mapping[str, Any], shown: int) -> None:
    from matplotlib.lines import Line2D

    count = f"{counted(result['samples'], 'scene')} of {counted(len(result['episodes']), 'episode')}, drawn: {shown}"
    best = f"best of {counted(result['num_traj_samples'], 'sample')}"
    text = f"minADE {result['minADE']:.3f} m, minFDE {result['minFDE']:.3f} m, {best} ({count})"
    words(figure, 0.25, 0.48, text)
    handles = [
        Line2D([], [], label="recorded", **RECORDED),
        Line2D([], [], label="predicted, closest sample", **PREDICTED),
        Line2D([], [], label="other samples", **OTHERS),
        Line2D([], [], label="car now", marker="^", color="#1A1A1A", markersize=7, linestyle="none"),
    ]
    corner = 0.12 / WIDTH, 1 - 0.68 / figure.get_figheight()
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, ncols=4, columnspacing=1.4)


def draw_from_above(axes: "Axes", predicted: np.ndarray, best: np.ndarray, driven: np.ndarray) -> None:
    """All samples (samples, waypoints, 3), the closest of them and the driven path; ahead is up, left is left."""
    draw_path(axes, driven, **RECORDED)
    for sample in predicted:
        if not np.array_equal(sample, best):
            draw_path(axes, sample, **OTHERS, markersize=0)
    draw_path(axes, best, **PREDICTED)
    draw_car(axes, markersize=7)
    fit_limits(axes, [*predicted, driven])
    few_ticks(axes.yaxis, 7)
    axes.xaxis.get_major_locator().set_params(nbins=3)


def _draw_over_time(
    figure: "Figure",
    left_and_width: tuple[float, float],
    predicted: np.ndarray,
    best: np.ndarray,
    driven: np.ndarray,
    is_first: bool,
) -> None:
    """How far each sample is from the driven path, and each coordinate of the closest one."""
    seconds = np.arange(1, len(driven) + 1) * TIME_STEP
    left, width = left_and_width
    rows = [place(figure, left, SMALL_TOP + i * SMALL_PITCH, width, SMALL) for i in range(4)]
    for sample in (*predicted, best):
        distance = np.linalg.norm((sample - driven)[:, :2], axis=-1)
        rows[0].plot(seconds, distance, **(PREDICTED if np.array_equal(sample, best) else OTHERS))
    rows[0].set_ylim(bottom=0)
    for i, axes in enumerate(rows[1:]):
        axes.plot(seconds, driven[:, i], **RECORDED)
        axes.plot(seconds, best[:, i], **PREDICTED)
    for axes, name in zip(rows, ("off by (m)", "x (m)", "y (m)", "z (m)"), strict=True):
        axes.set_ylabel(name if is_first else "")
        axes.yaxis.set_label_coords(-0.5 / width, 0.5)
        few_ticks(axes.yaxis, 3)
        few_ticks(axes.xaxis, 7, whole=len(driven) > 10)
        axes.tick_params(labelbottom=axes is rows[-1])
    rows[-1].set_xlabel("time from now (s)")


def draw_horizons(axes: "Axes", horizons: Sequence[Mapping[str, float]]) -> None:
    """minADE and minFDE up to each of the horizons."""
    seconds = [row["seconds"] for row in horizons]
    for name, style in (("minADE", {"marker": "o"}), ("minFDE", {"marker": "s", "linestyle": "--"})):
        axes.plot(seconds, [row[name] for row in horizons], label=name, color=PREDICTED["color"], **style, markersize=4)
    axes.set(xlabel="horizon (s)", ylabel="distance (m)", ylim=(0, axes.dataLim.y1 * 1.3 or 1))  # room for the legend
    few_ticks(axes.yaxis)
    axes.legend(loc="upper left", ncols=2)


def draw_steps(axes: "Axes", result: Mapping[str, Any]) -> None:
    """The mean absolute error of each coordinate by waypoint, over all scenes."""
    errors = np.array(result["per_step"]["mae"], dtype=float)  # (waypoints, 3)
    seconds = np.arange(1, len(errors) + 1) * TIME_STEP
    for i, name in enumerate(result["dimensions"]):
        axes.plot(seconds, errors[:, i], label=name, color=COLOURS[i], linestyle=("-", "--", ":")[i])
    axes.set(xlabel="time from now (s)", ylabel="error (m)", ylim=(0, axes.dataLim.y1 * 1.3 or 1))
    few_ticks(axes.yaxis)
    axes.legend(loc="upper left", ncols=3)
