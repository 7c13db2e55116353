"""One picture of what navigation changes: the cameras by name, and the trajectories of three drives from above."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...configuration.vla_errors import InputError
from ...processing.alpamayo_r1.camera_labels import camera_name
from ...processing.alpamayo_r1.navigation_comparison import NavigationComparison
from ...processing.image_processing_alpamayo_r1 import read_frames
from ..plots.look import BLUE, GREY, ORANGE, RECORDED, VERMILLION, in_our_look, new_figure, place, shortened, words
from ..plots.picture_file import PREDICTION_MARK, figure_class_of_matplotlib, save
from .from_above import draw_car, draw_path, fit_limits
from .trajectory_plot import TITLE_HEIGHT, cells, draw_cameras

if TYPE_CHECKING:  # an extra
    from matplotlib.figure import Figure

TITLE = "What navigation changes"
LEFT, WIDE, HIGH, ABOVE, BELOW, LINE = 0.75, 6.2, 6.0, 0.55, 0.75, 0.27  # inches
TEXTS = 72  # characters of a line beside the axes


def plot_navigation(
    path: str | os.PathLike,
    images: Any,
    compared: NavigationComparison,
    camera_indices: Sequence[int] | None = None,
    ego_history_xyz: Any = None,
    gt_xyz: Any = None,
    title: str = TITLE,
) -> None:
    """Write the picture to `path`; the suffix names the format. The others are those of `navigation_figure`.

    Raises:
        InputError: see there.
        ConversionError: matplotlib is not installed.
    """
    figure_class_of_matplotlib()
    figure = navigation_figure(images, compared, camera_indices, ego_history_xyz, gt_xyz, title)
    save(figure, Path(path), PREDICTION_MARK)


@in_our_look
def navigation_figure(
    images: Any,
    compared: NavigationComparison,
    camera_indices: Sequence[int] | None = None,
    ego_history_xyz: Any = None,
    gt_xyz: Any = None,
    title: str = TITLE,
) -> "Figure":
    """The last frame of each camera under its name, and below all trajectories with navigation, without, and with left
    and right swapped, each in its colour, beside the first text of each.

    Args:
        images: cameras, each with its frames; camera_indices: the number of each, for the names that prompts have.
        compared: of `compare_navigation`, of one scene.
        ego_history_xyz: (..., steps, 3), the path behind; gt_xyz: (steps, 3), the path that was driven; metres.

    Raises:
        InputError: there is no image, or cameras and their numbers are not as many.
    """
    views = [read_frames(camera)[-1] for camera in images]
    names = [f"camera {i}" for i in range(1, len(views) + 1)]
    if camera_indices is not None:
        names = [camera_name(int(index)) for index in camera_indices]
    if len(names) != len(views):
        raise InputError(f"camera_indices has {len(names)} numbers, and there are images of {len(views)} cameras.")
    width, heights = cells(views)
    top = TITLE_HEIGHT + sum(heights) + ABOVE
    figure = new_figure(top + HIGH + BELOW, title)
    draw_cameras(figure, views, names, width, heights)
    axes = place(figure, LEFT, top, WIDE, HIGH)
    words(figure, LEFT, top - ABOVE + 0.1, "Seen from above: up is ahead", fontsize=11, fontweight="bold")
    drawn = []
    if ego_history_xyz is not None:
        drawn.append(numbers(ego_history_xyz))
        draw_path(axes, drawn[-1][0], color=GREY, linewidth=2.5, markersize=0, label="driven before")
    if gt_xyz is not None:
        drawn.append(numbers(gt_xyz))
        draw_path(axes, drawn[-1][0], **RECORDED | {"linewidth": 2.6, "zorder": 2.5}, label="recorded future")
    at = top
    for name, text, colour, output in conditions(compared):
        paths = numbers(output.pred_xyz)
        for i, path in enumerate(paths):
            draw_path(axes, path, color=colour, linewidth=1.3, zorder=3, label=None if i else f"{name} ({len(paths)})")
        drawn.append(paths)
        at = describe(figure, at, name, text, colour, output)
    draw_car(axes, label="car now; a dot each second")
    fit_limits(axes, drawn)
    axes.legend(loc="upper left", bbox_to_anchor=(1.06, 1 - (at - top + 0.1) / HIGH))
    return figure


def conditions(compared: NavigationComparison) -> list[tuple[str, str, str, Any]]:
    """Name, navigation, colour and output of each drive that there is."""
    found = [
        ("with navigation", compared.nav_text, BLUE, compared.with_nav),
        ("without navigation", "", ORANGE, compared.without_nav),
        ("left and right swapped", compared.swapped_text, VERMILLION, compared.swapped),
    ]
    return [each for each in found if each[3] is not None]


def describe(figure: "Figure", at: float, name: str, text: str, colour: str, output: Any) -> float:
    """Write a drive's navigation and its first text beside the axes; returns where the next begins."""
    left = LEFT + WIDE + 0.4
    words(figure, left, at, name, fontsize=10, fontweight="bold", color=colour)
    lines = [f"“{text}”"] if text else []
    reasoning = output.reasoning[0][0][0] if output.reasoning else ""
    lines += [reasoning] if reasoning else []
    for number, line in enumerate(lines, 1):
        words(figure, left, at + LINE * number, shortened(line, TEXTS), fontsize=9)
    return at + LINE * (len(lines) + 1) + 0.12


def numbers(xyz: Any) -> np.ndarray:
    """(paths, steps, 3) of (..., steps, 3)."""
    values = np.asarray(xyz.detach().float().cpu() if hasattr(xyz, "detach") else xyz, dtype=np.float32)
    return values.reshape(-1, *values.shape[-2:])
