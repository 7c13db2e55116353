"""One picture of a prediction: what the cameras saw, the trajectories from above, and the reasoning."""

import math
import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError
from ...processing.image_processing_alpamayo_r1 import read_frames
from ..predictions.pictures import PREDICTION_MARK, figure_class_of_matplotlib, is_marked, metadata_for

MAX_TEXTS = 6
TEXT_WIDTH = 130  # characters of a line


def plot_trajectories(
    path: str | os.PathLike,
    images: Any,
    pred_xyz: Any,
    reasoning: str | Sequence[str],
    ego_history_xyz: Any = None,
    gt_xyz: Any = None,
) -> None:
    """Write the picture to `path`; the suffix names the format, as matplotlib knows them.

    Args:
        images: (cameras, frames, 3, height, width) uint8, or a list with one entry for each camera: its frames, or one
            image. The last frame of each camera is shown.
        pred_xyz: (..., samples, steps, 3), metres in the t0 frame (x ahead, y to the left); leading axes are samples
            too.
        reasoning: one text, or one for each sample in any nesting; equal texts are shown once.
        ego_history_xyz: (..., steps, 3), the path behind.
        gt_xyz: (..., steps, 3), the path that was driven.

    Raises:
        InputError: there is no image or no trajectory of three coordinates.
        ConversionError: matplotlib is not installed.
    """
    figure_class = figure_class_of_matplotlib()
    views = [read_frames(camera)[-1] for camera in images]
    paths = {"predicted": pred_xyz, "history": ego_history_xyz, "driven": gt_xyz}
    paths = {name: _paths(name, xyz) for name, xyz in paths.items() if xyz is not None}
    texts = _texts(reasoning)
    columns = math.ceil(math.sqrt(len(views)))
    rows = math.ceil(len(views) / columns)
    lines = sum(text.count("\n") + 1 for text in texts)
    figure = figure_class(figsize=(14, 6 + 0.2 * lines), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[6, max(0.2 * lines, 0.1)])
    left, right = top.subfigures(1, 2, width_ratios=[3, 2])
    for axes, view in zip(left.subplots(rows, columns, squeeze=False).flat, views, strict=False):
        axes.imshow(view)
    for axes in left.axes:
        axes.set_axis_off()
    _draw_from_above(right.subplots(), paths)
    bottom.text(0.02, 0.95, "\n".join(texts), va="top", family="monospace", fontsize=9, parse_math=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a font has not every character that a model writes
        figure.savefig(path, metadata=metadata_for(Path(path), PREDICTION_MARK))


def is_plot(path: Path) -> bool:
    """Whether a file is a picture of ours."""
    return is_marked(path, PREDICTION_MARK)


def _paths(name: str, xyz: Any) -> np.ndarray:
    """(paths, steps, 3) from any leading axes; tensors may lie on another device."""
    values = np.asarray(xyz.detach().float().cpu() if hasattr(xyz, "detach") else xyz, dtype=float)
    if values.ndim < 2 or values.shape[-1] != 3 or 0 in values.shape:
        raise InputError(f"the {name} trajectory has shape {values.shape}; accepted is (..., steps, 3).")
    return values.reshape(-1, *values.shape[-2:])


def _texts(reasoning: str | Sequence[str]) -> list[str]:
    """The different texts with how many samples share each, wrapped."""
    texts, counts = np.unique(np.asarray(reasoning, dtype=object).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [f"{counts[i]} x  {texts[i]}" if counts.sum() > 1 else str(texts[i]) for i in order[:MAX_TEXTS]]
    more = [f"... and {len(texts) - MAX_TEXTS} more"] if len(texts) > MAX_TEXTS else []
    printable = ["".join(c if c.isprintable() else " " for c in text) for text in shown + more]
    return ["\n".join(textwrap.wrap(text, TEXT_WIDTH)) for text in printable]


def _draw_from_above(axes: Any, paths: dict[str, np.ndarray]) -> None:
    """The car's way ahead points up and its left is left, equal scales, metres."""
    styles = {
        "predicted": {"color": "tab:blue", "alpha": 0.7},
        "history": {"color": "tab:grey", "marker": ".", "markersize": 3},
        "driven": {"color": "tab:green", "linestyle": "--"},
    }
    for name, found in paths.items():
        for i, points in enumerate(found):
            axes.plot(points[:, 1], points[:, 0], label=None if i else name, **styles[name])
    axes.plot(0, 0, "k^", markersize=8, label="car at t0")
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_xaxis()
    axes.set(xlabel="metres to the left", ylabel="metres ahead")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
