"""The picture of what the example of a driving model's card predicts."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...configuration.card_snippet import Asked, by_name, car_words, straight_path
from ...training.evaluation import own_randomness
from ..bases_of_adapters import own_name
from .camera_names import trained_names
from .trajectory_plot import plot_trajectories


def draw_driving_example(path: Path, model: Any, processor: Any, views: list[Image.Image], asked: Asked) -> str:
    """Predict as the code of `card_snippet` does, and draw that; returns what the code prints.

    Args:
        views: one frame of each camera, as the code reads them.
    """
    frames = [[view] for view in views]
    poses, start = straight_path(model.config)
    xyz = np.zeros((poses, 3))
    xyz[:, 0] = np.linspace(float(start), 0, poses)
    inputs = processor(
        images=by_name(model.config, frames),
        ego_history_xyz=xyz,
        ego_history_rot=np.tile(np.eye(3), (poses, 1, 1)),
        **({"text": asked.text} if asked.text else {}),
        **car_words(model.config, asked),
    )
    with own_randomness(0, model.device):
        output = model.sample_trajectories(**inputs, num_traj_samples=1)
    plot_trajectories(
        path,
        frames,
        output.pred_xyz[0],
        output.reasoning[0],
        inputs["ego_history_xyz"],
        camera_names=trained_names(processor.view_names, len(views)),
        has_start_token=output.has_start_token[0],
        title=f"A trajectory that {own_name(model.config.name_or_path)} predicts",
    )
    return f"{tuple(output.pred_xyz.shape)}\n{output.pred_xyz[0, 0, 0, -1]}\n{output.reasoning[0][0][0]}\n"
