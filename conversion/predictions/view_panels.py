"""What the cameras saw, and where in it a model looked."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .panel import HEADING, Panel
from .plot_style import FAINT, HEAT, LABEL, SMALL, axes_in
from .prediction_trace import KeptTokens, PatchAttention, PredictionTrace

IN_A_ROW = 4  # views without maps
LEAST_COLUMNS = 3  # of views with maps, so that a view and its only map stand close
CELL, GAP = 2.3, 0.3  # inches of a view and below it
LEFT, RIGHT = 0.3, 0.3
BAR = 0.75  # inches of a scale


@dataclass(frozen=True)
class PatchMap:
    """A number for each patch of each view, (views, rows, columns), 1 being the even share; NaN: nothing to show.

    title: over the column; notes: below each view.
    """

    title: str
    values: np.ndarray
    notes: list[str]


def views_panel(trace: PredictionTrace, names: list[str]) -> Panel:
    """Views alone, or each beside its maps of attention and of what the last pruning layer reads."""
    maps = [attention_map(found) for found in trace.attention]
    if trace.kept is not None and maps:
        maps.append(map_of_kept(trace.kept, trace.attention))
    seen = "as the model saw them" if trace.as_seen else "as they were given: the model reads parts of them"
    patches = trace.kept is not None and not trace.attention and trace.kept.grid is not None
    if maps:
        note = (
            "Colour: attention of the learned aggregation tokens to patches (last block that runs, mean of tokens and "
            "heads); 1 is a patch's average."
        )
        height = HEADING + 0.3 + len(names) * (CELL + GAP) + BAR
        return Panel(f"Views, {seen}, and where the model looks", note, height, partial(draw_maps, trace, names, maps))
    rows = -(-len(names) // IN_A_ROW)
    note = f"{len(names)} cameras, in the order of training." if len(names) > 1 else "One camera."
    if patches:
        last = max(trace.kept.kept)
        note += f" White: patches that the last pruning layer (layer {last}) does not read."
    height = HEADING + 0.3 + rows * (CELL + GAP)
    return Panel(f"Views, {seen}", note, height, partial(draw_views, trace, names, rows))


def attention_map(attention: PatchAttention) -> PatchMap:
    """Mean over the tokens."""
    views, _, patches = attention.weights.shape
    values = attention.weights.mean(axis=1).reshape(views, *attention.grid) * patches
    shares = attention.on_patches.mean(axis=1)
    return PatchMap(attention.encoder, values, [f"{share:.0%} of the attention is on patches" for share in shares])


def map_of_kept(kept: KeptTokens, attention: tuple[PatchAttention, ...]) -> PatchMap:
    """Attention, mean of the encoders, of the aggregation tokens that the last pruning layer still reads."""
    last, grid = max(kept.kept), attention[0].grid
    values = np.full((len(kept.kept[last]), *grid), np.nan)
    for view, is_read in enumerate(kept.kept[last]):
        if is_read.any():
            maps = [each.weights[view, is_read].mean(axis=0).reshape(each.grid) for each in attention]
            values[view] = np.mean([resampled(one * one.size, grid) for one in maps], axis=0)
    notes = [f"{is_read.sum()} of {len(is_read)} tokens are read" for is_read in kept.kept[last]]
    return PatchMap(f"tokens that layer {last} reads", values, notes)


def resampled(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Of another grid of patches, the nearest ones."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(grid, values.shape, strict=True))
    return values[rows][:, columns]


def draw_maps(trace: PredictionTrace, names: list[str], maps: list[PatchMap], area: Any) -> None:
    """A row a view: itself, then its maps; a scale below each column of maps."""
    columns = max(1 + len(maps), LEAST_COLUMNS)
    grid = axes_in(area, len(names), columns, (LEFT, RIGHT, HEADING + 0.3, GAP + BAR), (0.3, GAP))
    for axes in grid[:, 1 + len(maps) :].flat:
        axes.set_axis_off()
    for axes, name, view in zip(grid[:, 0], names, trace.views, strict=True):
        show(axes, view, name)
    for column, patch_map in enumerate(maps, 1):
        top = np.nanmax(patch_map.values) if np.isfinite(patch_map.values).any() else 1
        for row, axes in enumerate(grid[:, column]):
            shown = overlay(axes, trace.views[row], patch_map.values[row], max(top, 1e-6))
            axes.set_xlabel(patch_map.notes[row], fontsize=SMALL, color=FAINT, labelpad=3)
        grid[0, column].set_title(patch_map.title, fontsize=LABEL, fontweight="bold")
        scale(area, grid[-1, column], shown)


def draw_views(trace: PredictionTrace, names: list[str], rows: int, area: Any) -> None:
    """Views in rows; of patches that are tokens, those that the last pruning layer leaves out are whitened."""
    grid = axes_in(area, rows, IN_A_ROW, (LEFT, RIGHT, HEADING + 0.1, GAP + 0.1), (0.3, GAP))
    last = None if trace.kept is None or trace.kept.grid is None else trace.kept.kept[max(trace.kept.kept)]
    for number, axes in enumerate(grid.flat):
        if number >= len(names):
            axes.set_axis_off()
            continue
        show(axes, trace.views[number], names[number])
        if last is not None:
            whiten(axes, trace.views[number], ~last[number].reshape(trace.kept.grid))


def show(axes: Any, view: np.ndarray, name: str) -> None:
    """A view with its name below."""
    axes.imshow(view)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(name, fontsize=LABEL, fontweight="bold", labelpad=3)


def overlay(axes: Any, view: np.ndarray, values: np.ndarray, top: float) -> Any:
    """Values of patches, 0 to `top`, over the view in grey; returns what a scale is drawn of."""
    grey = view.mean(axis=2)
    height, width = grey.shape
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    return axes.imshow(values, cmap=HEAT, vmin=0, vmax=top, alpha=0.6, extent=place, interpolation="nearest")


def whiten(axes: Any, view: np.ndarray, is_left_out: np.ndarray) -> None:
    """Cover patches."""
    height, width = view.shape[:2]
    cover = np.ones((*is_left_out.shape, 4))
    cover[..., 3] = 0.82 * is_left_out
    axes.imshow(cover, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")


def scale(area: Any, axes: Any, shown: Any) -> None:
    """A horizontal scale below the last view of a column."""
    box = axes.get_position()
    height = 0.12 / area.bbox.height * area.figure.dpi
    place = area.add_axes([box.x0, 0.42 / area.bbox.height * area.figure.dpi, box.width, height])
    bar = area.colorbar(shown, cax=place, orientation="horizontal")
    bar.solids.set_alpha(1)
    bar.ax.locator_params(nbins=4)
    bar.set_label("times the even share", fontsize=SMALL, labelpad=1)
