"""A picture of the closed loop: the road from above with the paths of all drivers, and what the camera saw."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from driving_cameras import CAMERAS, RoadCamera
from driving_demonstrations import frame_of
from driving_replay import HISTORY
from driving_road import HALF_LANE, Drive

COLOURS = {"scripted": "tab:green", "trained": "tab:blue", "untrained": "tab:red"}
COLOURS |= {"straight on": "tab:orange", "as before": "tab:purple"}
SHOWN = 8  # frames of the strip
FINE = {"width_pixels": 160, "height_pixels": 160}
MARGIN = 15.0  # metres around the road


def draw_loop(path: Path, drives: Mapping[str, Sequence[Drive]], roads: Sequence[int], strip: str) -> None:
    """Write the picture of some of the roads; drives: by driver; strip: the driver whose camera is shown, on the first
    of the roads."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(4 * len(roads), 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 1))
    panels = above.subplots(1, len(roads), squeeze=False)[0]
    for panel, number in zip(panels, roads, strict=True):
        draw_road(panel, {name: each[number] for name, each in drives.items()})
    panels[0].legend(fontsize=8)
    shown = drives[strip][roads[0]]
    frames = below.subplots(1, SHOWN, squeeze=False)[0]
    for panel, step in zip(frames, np.linspace(HISTORY, len(shown.along) - 1, SHOWN).astype(int), strict=True):
        camera = next(iter(CAMERAS.values()))
        fine = RoadCamera(camera.field_of_view, camera.down, camera.height, **FINE)
        panel.imshow(frame_of(shown, fine, step))
        panel.set_title(f"{(step - HISTORY + 1) / 10:.1f} s", fontsize=8)
        panel.axis("off")
    below.suptitle(f"what the camera of the {strip} model sees on the first road (drawn finer)", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_road(panel, drives: Mapping[str, Drive]) -> None:
    """One road from above, and the path of each driver; a path ends where it leaves the panel."""
    road, far = next(iter(drives.values())).road, max(drive.along[-1] for drive in drives.values())
    centre, headings = road.at(np.arange(0, far + 20, 0.5))
    left = np.stack([-np.sin(headings), np.cos(headings)], axis=-1) * HALF_LANE
    panel.fill(*np.concatenate([centre + left, (centre - left)[::-1]]).T, color="0.85", label="lane")
    for name, drive in drives.items():
        panel.plot(*drive.path.xyz[:, :2].T, color=COLOURS[name], linewidth=1.1, label=name)
    panel.set_xlim(centre[:, 0].min() - MARGIN, centre[:, 0].max() + MARGIN)
    panel.set_ylim(centre[:, 1].min() - MARGIN, centre[:, 1].max() + MARGIN)
    panel.set_aspect("equal")
    panel.tick_params(labelsize=7)
