"""A picture of the closed loop: roads from above with all paths, offsets from the centre, what the camera saw."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from driving_cameras import CAMERAS
from driving_demonstrations import frame_of
from driving_motion import TIME_STEP
from driving_replay import HISTORY, offsets
from driving_road import HALF_LANE, Drive

STYLES = {
    "scripted": {"color": "black", "linestyle": "--", "zorder": 3},
    "trained": {"color": "tab:blue", "linewidth": 2},
    "untrained": {"color": "tab:red"},
    "straight on": {"color": "tab:orange"},
    "as before": {"color": "tab:purple"},
}
SHOWN = 8  # frames of the strip
FINE = {"width_pixels": 160, "height_pixels": 160}
MARGIN = 15.0  # metres around the road


def draw_loop(path: Path, drives: Mapping[str, Sequence[Drive]], roads: Sequence[int], strip: str) -> None:
    """Write the picture of some of the roads; drives: by driver; strip: the driver whose camera is shown, on the first
    of the roads."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(4 * len(roads), 7.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3.2, 1))
    panels = above.subplots(2, len(roads), squeeze=False, height_ratios=(2, 1))
    for (road, beside), number in zip(panels.T, roads, strict=True):
        draw_road(road, {name: each[number] for name, each in drives.items()})
        draw_offsets(beside, {name: each[number] for name, each in drives.items()})
    panels[0, 0].set_ylabel("metres", fontsize=8)
    panels[1, 0].set_ylabel("metres left of the centre", fontsize=8)
    above.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=8)
    draw_frames(below.subplots(1, SHOWN, squeeze=False)[0], drives[strip][roads[0]])
    below.suptitle(f"what the camera of the {strip} model sees on the first road (here drawn finer)", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_road(panel: Any, drives: Mapping[str, Drive]) -> None:
    """One road from above, and the path of each driver, as far as the panel goes."""
    road, far = next(iter(drives.values())).road, max(drive.along[-1] for drive in drives.values())
    centre, headings = road.at(np.arange(0, far + 20, 0.5))
    left = np.stack([-np.sin(headings), np.cos(headings)], axis=-1) * HALF_LANE
    panel.fill(*np.concatenate([centre + left, (centre - left)[::-1]]).T, color="0.85", label="lane")
    for name, drive in drives.items():
        panel.plot(*drive.path.xyz[:, :2].T, label=name, **STYLES[name])
    middle = (centre.min(axis=0) + centre.max(axis=0)) / 2
    reach = np.ptp(centre, axis=0).max() / 2 + MARGIN
    panel.set_xlim(middle[0] - reach, middle[0] + reach)
    panel.set_ylim(middle[1] - reach, middle[1] + reach)
    panel.set_aspect("equal")
    panel.tick_params(labelsize=7)


def draw_offsets(panel: Any, drives: Mapping[str, Drive]) -> None:
    """How far from the lane's centre each car is over time, between the lane's edges."""
    for name, drive in drives.items():
        left = offsets(drive)
        panel.plot(np.arange(1, len(left) + 1) * TIME_STEP, left, **STYLES[name])
    panel.axhspan(-HALF_LANE, HALF_LANE, color="0.85", zorder=0)
    panel.set_ylim(-2.5, 2.5)
    panel.set_xlabel("seconds", fontsize=8)
    panel.tick_params(labelsize=7)


def draw_frames(panels: Sequence[Any], drive: Drive) -> None:
    """What the first camera sees at times spread over the drive."""
    camera = replace(next(iter(CAMERAS.values())), **FINE)
    for panel, step in zip(panels, np.linspace(HISTORY, len(drive.along) - 1, SHOWN).astype(int), strict=True):
        panel.imshow(frame_of(drive, camera, step))
        panel.set_title(f"{(step - HISTORY + 1) * TIME_STEP:.1f} s", fontsize=8)
        panel.axis("off")
