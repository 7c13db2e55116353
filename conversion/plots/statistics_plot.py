"""The picture of a dataset's statistics: how the numbers of each dimension lie, and where models put -1 and 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .look import BLUE, DARK, GREY, VERMILLION, WIDTH, few_ticks, in_our_look, new_figure, place, shortened, words
from .picture_file import figure_class_of_matplotlib, save

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARK = "vlahub stats"
BINS, PER_ROW = 40, 4
# Inches.
HEADER, HEADING, PANEL, PITCH, EDGE, GAP = 0.95, 0.35, 0.95, 1.75, 0.8, 0.45
QUANTILES: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.4, "linestyle": (0, (4, 1.5))}
MEAN: dict[str, Any] = {"color": DARK, "linewidth": 1.4}


@dataclass(frozen=True)
class DrawnPart:
    """Actions or states.

    Attributes:
        title: such as "action".
        statistics: of the part, as they are written: lists over dimensions by name.
        rows: (rows, dimensions), those that the quantiles were taken of.
        names, units: of the dimensions; a unit that is not known is empty.
    """

    title: str
    statistics: Mapping[str, Sequence[float]]
    rows: np.ndarray
    names: Sequence[str]
    units: Sequence[str]


def plot_statistics(path: Path, parts: Sequence[DrawnPart], title: str) -> None:
    """Write the picture; the suffix names the format. Raises ConversionError where matplotlib is not installed."""
    figure_class_of_matplotlib()
    save(statistics_figure(parts, title), path, MARK)


@in_our_look
def statistics_figure(parts: Sequence[DrawnPart], title: str) -> "Figure":
    """A histogram of each dimension of each part, from its minimum to its maximum, with q01, mean and q99."""
    heights = [HEADING + PITCH * -(-len(part.names) // PER_ROW) for part in parts]
    figure = new_figure(HEADER + sum(heights), title)
    write_legend(figure)
    top = HEADER
    for part, height in zip(parts, heights, strict=True):
        words(figure, 0.25, top, part.title, fontsize=11, fontweight="bold")
        width = (WIDTH - EDGE) / PER_ROW
        for i in range(len(part.names)):
            row, column = divmod(i, PER_ROW)
            left, above = EDGE + column * width, top + HEADING + row * PITCH
            words(figure, left, above, panel_title(part, i), fontsize=9)
            draw_dimension(place(figure, left, above + 0.22, width - GAP, PANEL), part, i, is_first=column == 0)
        top += height
    return figure


def panel_title(part: DrawnPart, i: int) -> str:
    """The name of a dimension, and whether models leave it as it is."""
    name = str(part.names[i])
    return (f"dimension {name}" if name.isdigit() else shortened(name, 24)) + (
        "" if part.statistics["mask"][i] else " (passes unchanged)"
    )


def draw_dimension(axes: "Axes", part: DrawnPart, i: int, is_first: bool) -> None:
    """The share of rows in each bin; the lines stand where the statistics say."""
    of = {name: part.statistics[name][i] for name in ("min", "q01", "mean", "q99", "max")}
    room = (of["max"] - of["min"]) * 0.04 or 0.5
    bins = np.linspace(of["min"], of["max"], BINS + 1) if of["max"] > of["min"] else of["min"] + np.array([-0.25, 0.25])
    counts, edges = np.histogram(part.rows[:, i].astype(np.float64), bins)
    axes.stairs(counts / max(len(part.rows), 1), edges, fill=True, color=BLUE, alpha=0.6)
    for name, style in (("q01", QUANTILES), ("q99", QUANTILES), ("mean", MEAN)):
        axes.axvline(of[name], label=name, **style)
    axes.set_xlim(of["min"] - room, of["max"] + room)
    few_ticks(axes.xaxis, 4)
    few_ticks(axes.yaxis, 3)
    axes.set_xlabel(part.units[i] or "dataset's unit", fontsize=8.5, labelpad=1, color=DARK if part.units[i] else GREY)
    if is_first:
        axes.set_ylabel("share of rows")
        axes.yaxis.set_label_coords(-0.6 / (axes.get_position().width * WIDTH), 0.5)


def write_legend(figure: "Figure") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color=BLUE, alpha=0.6, label="rows, from minimum to maximum"),
        Line2D([], [], label="q01 and q99: what quantile normalisation maps to -1 and 1", **QUANTILES),
        Line2D([], [], label="mean", **MEAN),
    ]
    corner = 0.12 / WIDTH, 1 - 0.5 / figure.get_figheight()
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, ncols=3, columnspacing=1.4)
