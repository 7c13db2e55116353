"""One picture of a prediction: what the cameras saw, the trajectories from above, and the reasoning of each."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...configuration.vla_errors import InputError
from ...processing.image_processing_alpamayo_r1 import read_frames
from ..plots.look import DARK, GREY, LIGHT, RECORDED, WIDTH, in_our_look, new_figure, place, shortened, words
from ..plots.picture_file import PREDICTION_MARK, figure_class_of_matplotlib, is_marked, save
from .drawn_samples import NUMBERED, Group, Sample, distances_in_words, grouped, samples_of_scene
from .from_above import badge_places, draw_car, draw_path, fit_limits
from .reasoning_texts import lay_out, write_texts

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Predicted trajectories of one scene"
PER_ROW = 4  # cameras
# Inches.
EDGE, GAP, TITLE_HEIGHT, NAME_HEIGHT, HIGHEST_VIEW, WIDEST_VIEW = 0.25, 0.15, 0.5, 0.25, 3.2, 4.2
AXES_LEFT, AXES_WIDTH, AXES_LEAST, ABOVE_AXES, BELOW_AXES = 0.75, 4.9, 5.0, 1.2, 1.2
BADGE = 0.23  # with its distance from the next row
TEXTS_LEFT = AXES_LEFT + AXES_WIDTH + 0.45


def plot_trajectories(
    path: str | os.PathLike,
    images: Any,
    pred_xyz: Any,
    reasoning: str | Sequence[str],
    ego_history_xyz: Any = None,
    gt_xyz: Any = None,
    camera_names: Sequence[str] | None = None,
    has_start_token: Any = None,
    title: str = TITLE,
) -> None:
    """Write the picture to `path`; the suffix names the format, as matplotlib knows them.

    Args:
        The others are those of `trajectory_figure`.

    Raises:
        InputError: see there.
        ConversionError: matplotlib is not installed.
    """
    figure_class_of_matplotlib()
    given = images, pred_xyz, reasoning, ego_history_xyz, gt_xyz, camera_names, has_start_token, title
    save(trajectory_figure(*given), Path(path), PREDICTION_MARK)


@in_our_look
def trajectory_figure(
    images: Any,
    pred_xyz: Any,
    reasoning: str | Sequence[str],
    ego_history_xyz: Any = None,
    gt_xyz: Any = None,
    camera_names: Sequence[str] | None = None,
    has_start_token: Any = None,
    title: str = TITLE,
) -> "Figure":
    """The last frame of each camera, all trajectories from above, and the text of each by number and colour.

    Args:
        images: (cameras, frames, 3, height, width) uint8, or a list with one entry for each camera: its frames, or one
            image.
        pred_xyz: (..., samples, steps, 3), metres in the t0 frame (x ahead, y to the left); leading axes are sets. The
            first 16 trajectories have numbers and texts, further ones are grey lines.
        reasoning: one text for all, or one for each sample in any nesting; samples with one text share a colour.
        ego_history_xyz: (..., steps, 3), the path behind.
        gt_xyz: (..., steps, 3), the path that was driven; with it, minADE and minFDE are in the picture.
        camera_names: one for each camera; numbers by default.
        has_start_token: whether each sample opened its trajectory, in any nesting; those that did not are flagged.

    Raises:
        InputError: there is no image or no trajectory of three coordinates, or texts, flags or names are of another
            number.
    """
    views = [read_frames(camera)[-1] for camera in images]
    names = [f"camera {i}" for i in range(1, len(views) + 1)] if camera_names is None else list(camera_names)
    if len(names) != len(views):
        raise InputError(f"camera_names has {len(names)} names, and there are images of {len(views)} cameras.")
    predicted = _paths("predicted", pred_xyz)
    history = None if ego_history_xyz is None else _paths("history", ego_history_xyz)
    driven = None if gt_xyz is None else _one(_paths("driven", gt_xyz))
    samples = samples_of_scene(predicted, reasoning, has_start_token, driven)
    groups = grouped(samples[:NUMBERED])
    width, heights = cells(views)
    top = TITLE_HEIGHT + sum(heights) + ABOVE_AXES
    texts = lay_out(groups, len(samples), has_reference=driven is not None)
    axes_height = max(AXES_LEAST, texts.height - BELOW_AXES)
    figure = new_figure(top + axes_height + BELOW_AXES, title)
    draw_cameras(figure, views, names, width, heights)
    axes = place(figure, AXES_LEFT, top, AXES_WIDTH, axes_height)
    _draw_paths(axes, groups, samples[NUMBERED:], history, driven)
    heading = top - ABOVE_AXES + 0.1
    words(figure, AXES_LEFT, heading, "Seen from above: up is ahead", fontsize=11, fontweight="bold")
    if driven is not None:
        words(figure, AXES_LEFT, heading + 0.23, distances_in_words(predicted, driven), fontsize=9)
    corner = (AXES_LEFT - 0.1) / WIDTH, (BELOW_AXES - 0.45) / figure.get_figheight()
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="upper left", bbox_to_anchor=corner, ncols=2, columnspacing=1.5)
    write_texts(figure, texts, TEXTS_LEFT, heading)
    return figure


def is_plot(path: Path) -> bool:
    """Whether a file is a picture of ours."""
    return is_marked(path, PREDICTION_MARK)


def _paths(name: str, xyz: Any) -> np.ndarray:
    """(..., steps, 3) as numbers; tensors may lie on another device."""
    values = np.asarray(xyz.detach().float().cpu() if hasattr(xyz, "detach") else xyz, dtype=np.float32)
    if values.ndim < 2 or values.shape[-1] != 3 or 0 in values.shape:
        raise InputError(f"the {name} trajectory has shape {values.shape}; accepted is (..., steps, 3).")
    return values


def _one(xyz: np.ndarray) -> np.ndarray:
    """The path that was driven, (steps, 3). Raises InputError where there are several."""
    if xyz.size != xyz.shape[-2] * 3:
        raise InputError(f"the driven trajectory has shape {xyz.shape}; it is one path, (steps, 3).")
    return xyz.reshape(-1, 3)


def cells(views: Sequence[np.ndarray]) -> tuple[float, list[float]]:
    """The width of a camera's picture and the height of each row with names and gaps, in inches."""
    columns = min(len(views), PER_ROW)
    width = min((WIDTH - 2 * EDGE - (columns - 1) * GAP) / columns, WIDEST_VIEW)
    rows = [views[i : i + PER_ROW] for i in range(0, len(views), PER_ROW)]
    highest = [max(width * view.shape[0] / view.shape[1] for view in row) for row in rows]
    return width, [min(height, HIGHEST_VIEW) + NAME_HEIGHT + GAP for height in highest]


def draw_cameras(
    figure: "Figure", views: Sequence[np.ndarray], names: Sequence[str], width: float, heights: Sequence[float]
) -> None:
    """A picture each, with its name above."""
    for i, (view, name) in enumerate(zip(views, names, strict=True)):
        left, row = EDGE + i % PER_ROW * (width + GAP), i // PER_ROW
        top = TITLE_HEIGHT + sum(heights[:row])
        words(figure, left, top, shortened(name, int(width * 12)), fontsize=9.5)
        axes = place(figure, left, top + NAME_HEIGHT, width, heights[row] - NAME_HEIGHT - GAP)
        axes.imshow(view)
        axes.set_axis_off()
        axes.set_anchor("NW")


def _draw_paths(
    axes: "Axes",
    groups: Sequence[Group],
    others: Sequence[Sample],
    history: np.ndarray | None,
    driven: np.ndarray | None,
) -> None:
    """All lines, and the numbers of those that have a text."""
    for i, sample in enumerate(others):
        label = None if i else f"{len(others)} more predicted"
        draw_path(axes, sample.xyz, color=LIGHT, linewidth=0.8, markersize=0, label=label)
    if history is not None:
        for i, points in enumerate(history.reshape(-1, *history.shape[-2:])):
            draw_path(axes, points, color=GREY, linewidth=2.5, markersize=0, label=None if i else "driven before")
    if driven is not None:
        draw_path(axes, driven, **RECORDED | {"linewidth": 2.6, "zorder": 2.5}, label="recorded future")
    numbered = [(sample, group.style) for group in groups for sample in group.samples]
    for i, (sample, style) in enumerate(numbered):
        draw_path(axes, sample.xyz, **style, linewidth=1.4, zorder=3, label=None if i else "predicted, by number")
    draw_car(axes, label="car now; a dot each second")
    drawn = [sample.xyz for sample, _ in numbered] + [sample.xyz for sample in others]
    fit_limits(axes, drawn + [found for found in (history, driven) if found is not None])
    _number(axes, numbered)


def _number(axes: "Axes", numbered: Sequence[tuple[Sample, dict[str, Any]]]) -> None:
    """A badge with the number of each line above the axes, and a thin line to it from where the trajectory ends.

    The badges stand in two rows where one has no room for them.
    """
    left, right = axes.get_xlim()  # the left is the greater one
    texts = [sample.label + "!" * (not sample.started) for sample, _ in numbered]
    gap = 0.085 * max(map(len, texts)) + 0.2  # inches
    rows = 1 if gap * (len(texts) - 1) <= AXES_WIDTH else 2
    ends = [-sample.xyz[-1, 1] for sample, _ in numbered]  # to the right
    places = -badge_places(ends, gap / rows * (left - right) / AXES_WIDTH, -left, -right)
    ranks = np.argsort(np.argsort(-places))
    height = axes.get_window_extent().height / axes.figure.dpi
    for (sample, style), text, at, rank in zip(numbered, texts, places, ranks, strict=True):
        up = 1 + (0.07 + BADGE * (rank % rows)) / height  # in heights of the axes
        [line] = axes.plot([sample.xyz[-1, 1], at], [sample.xyz[-1, 0], axes.get_ylim()[1]], clip_on=False)
        line.set(color=LIGHT, linewidth=0.6, zorder=1)
        box = {"boxstyle": "round,pad=0.18", "facecolor": "white", "edgecolor": style["color"], "linewidth": 1.3}
        box["linestyle"] = "-" if sample.started else ":"
        colour = style["color"] if sample.started else DARK
        where = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(at, up, text, **where, fontsize=8.5, color=colour, bbox=box)
