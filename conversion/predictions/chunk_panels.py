"""A chunk of actions, a field for each dimension: what was predicted, and how it came out of noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...configuration.normalization_statistics import STATISTICS
from .panel import HEADING, Panel
from .plot_style import BAND, BLUE, FAINT, GRID, ORANGE, SMALL, STEPS, axes_in
from .prediction_trace import Drawn

RANGES = {"bounds": "from the least to the largest", "bounds_q99": "from the 1st to the 99th percentile"}
RANGES["normal"] = "one standard deviation about the mean"
MAX_COLUMNS = ((8, 4), (15, 5))  # up to so many dimensions, so many fields in a row; six of more
ROW, GAP = 1.05, 0.55  # inches of a field and below it
MARGINS = (0.75, 0.25, HEADING + 0.3, 0.65)
UNITS = "robot's units"


@dataclass(frozen=True)
class ActionSpace:
    """What is known of each dimension of the actions.

    Attributes:
        names: of the dimensions.
        low, high: (action_dim,), the range of the training data in the robot's units; words: which one.
        passes: (action_dim,) bool, dimensions that are not normalised.
    """

    names: list[str]
    low: np.ndarray
    high: np.ndarray
    words: str
    passes: np.ndarray


def action_space(statistics: Mapping[str, Any], normalization_type: str, names: list[str]) -> ActionSpace:
    """Of the statistics of one dataset's actions."""
    first, second = (np.asarray(statistics[name], dtype=float) for name in STATISTICS[normalization_type])
    low, high = (first - second, first + second) if normalization_type == "normal" else (first, second)
    mask = np.asarray(statistics.get("mask") or [True] * len(first), dtype=bool)
    return ActionSpace(names, low, high, RANGES[normalization_type], ~mask)


def chunk_panel(drawn: Drawn, space: ActionSpace) -> Panel:
    """The predicted chunk, with the spread of several samples."""
    samples, steps, _ = drawn.actions.shape
    note = "One action." if steps == 1 else f"A chunk of {steps} actions, of which a robot executes step 0 first."
    if drawn.spread is not None:
        note += f" Spread is the standard deviation of {samples} samples."
    return panel_of_dimensions("Actions", note, space, partial(draw_chunk, drawn, space))


def path_panel(path: np.ndarray, space: ActionSpace, is_sampled: bool, how: str = "") -> Panel:
    """path: (steps + 1, num_action_chunks, action_dim), from noise to actions in the robot's units; is_sampled: it is
    that of the first of several samples; how: its steps were made, see `steps_in_words`."""
    steps, actions = len(path) - 1, path.shape[1]
    lines = "the line is the action" if actions == 1 else "a line is an action of the chunk, dark the first"
    end = "the first sample" if is_sampled else "the prediction"
    note = f"From noise (left) to {end} (right) in {steps} steps{how}; {lines}."
    return panel_of_dimensions("How the actions came out of noise", note, space, partial(draw_path, path, space))


def panel_of_dimensions(title: str, note: str, space: ActionSpace, draw: Any) -> Panel:
    rows, _ = rows_and_columns(len(space.names))
    note += " *: not normalised." if space.passes.any() else ""
    return Panel(title, note, sum(MARGINS[2:]) + rows * ROW + (rows - 1) * GAP, draw)


def rows_and_columns(count: int) -> tuple[int, int]:
    """The fields of so many dimensions."""
    columns = min(next((columns for most, columns in MAX_COLUMNS if count <= most), 6), count)
    return -(-count // columns), columns


def fields(area: Any, space: ActionSpace, label: str) -> list[Any]:
    """Axes for the dimensions, with names and the range of the training data; label: of the horizontal axis."""
    rows, columns = rows_and_columns(len(space.names))
    grid = axes_in(area, rows, columns, MARGINS, (0.55, GAP))
    for number, axes in enumerate(grid.flat):
        if number >= len(space.names):
            axes.set_axis_off()
            continue
        title = space.names[number] + ("*" if space.passes[number] else "")
        axes.set_title(title, loc="left", pad=3)
        axes.axhspan(space.low[number], space.high[number], color=BAND, lw=0, zorder=0)
        axes.grid(color=GRID, lw=0.5)
        axes.set_axisbelow(True)
        axes.locator_params(axis="y", nbins=4)
        if number + columns >= len(space.names):
            axes.set_xlabel(label)
        if number % columns == 0:
            axes.set_ylabel(UNITS, fontsize=SMALL)
    return list(grid.flat)[: len(space.names)]


def draw_chunk(drawn: Drawn, space: ActionSpace, area: Any) -> None:
    steps = np.arange(drawn.actions.shape[1])
    marker = {"marker": "o", "markersize": 4} if len(steps) <= 16 else {}
    all_axes = fields(area, space, "step of the chunk")
    for number, axes in enumerate(all_axes):
        values = drawn.actions[:, :, number]
        if drawn.spread is not None:
            mean, spread = values.mean(axis=0), drawn.spread[:, number]
            ends = steps if len(steps) > 1 else steps + np.array([-0.2, 0.2])
            axes.fill_between(ends, mean - spread, mean + spread, color=ORANGE, alpha=0.45, lw=0)
            thin = {**marker, "markersize": 2} if len(steps) == 1 else {}
            axes.plot(steps, values[1:].T, color=FAINT, lw=0.6, alpha=0.6, **thin)
        axes.plot(steps, values[0], color=BLUE, lw=2, **marker)
        whole_steps(axes, len(steps))
    legend(area, legend_of_chunk(drawn, space))


def draw_path(path: np.ndarray, space: ActionSpace, area: Any) -> None:
    colours = colours_of(path.shape[1])
    all_axes = fields(area, space, "denoising step")
    for number, axes in enumerate(all_axes):
        for action, colour in enumerate(colours):
            axes.plot(path[:, action, number], color=colour, lw=1.3, marker="o", markersize=2.5)
        whole_steps(axes, len(path))
    named = {0: "action 0", path.shape[1] - 1: f"action {path.shape[1] - 1}"}
    entries = [({"color": colours[place], "lw": 2}, name) for place, name in named.items()]
    legend(area, [*entries, ({"color": BAND, "lw": 8}, f"training data, {space.words}")])


def colours_of(count: int) -> np.ndarray:
    """From dark to light, without the yellow that white swallows."""
    from matplotlib import colormaps

    return colormaps[STEPS](np.linspace(0, 0.85, count))


def legend_of_chunk(drawn: Drawn, space: ActionSpace) -> list[tuple[dict[str, Any], str]]:
    """What a line looks like, and its name."""
    line = {"color": BLUE, "lw": 2, "marker": "o", "markersize": 4}
    entries = [(line, "predicted" if drawn.spread is None else "first sample")]
    if drawn.spread is not None:
        entries += [({"color": FAINT, "lw": 0.6}, "other samples"), ({"color": ORANGE, "lw": 8}, "mean ± spread")]
    return [*entries, ({"color": BAND, "lw": 8}, f"training data, {space.words}")]


def legend(area: Any, entries: list[tuple[dict[str, Any], str]]) -> None:
    """Above the fields, at the right."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], **style) for style, _ in entries]
    names = [name for _, name in entries]
    area.legend(lines, names, loc="upper right", ncols=len(entries), bbox_to_anchor=(0.99, 1), borderaxespad=0.2)


def whole_steps(axes: Any, count: int) -> None:
    """Whole numbers on the horizontal axis, with room for a single one."""
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.set_xlim(-0.5, 0.5) if count == 1 else axes.set_xlim(-0.03 * count, count - 1 + 0.03 * count)
    if count == 1:
        axes.set_xticks([0])
