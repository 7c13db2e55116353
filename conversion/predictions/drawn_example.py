"""The picture of what the example of a robot's card predicts."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ...configuration.card_snippet import INSTRUCTION, Asked, by_name, example_key
from ...training.evaluation import own_randomness
from . import prediction_trace
from .prediction_plot import plot_trace


def draw_robot_example(
    trace: prediction_trace.Trace, path: Path, model: Any, processor: Any, views: list[Image.Image], asked: Asked
) -> str:
    """Predict as the code of `card_snippet` does, and draw that; returns what the code prints.

    Args:
        views: in the order of the model's, as the code reads them.
    """
    config, key, text = model.config, example_key(model.config, asked), asked.text or INSTRUCTION
    state = list(asked.state or [0.0] * config.state_size) if config.state_size else None
    given = {"state": state, "embodiment_id": 0 if config.num_embodiments > 1 else None}
    images = by_name(config, views)
    given = {name: value for name, value in given.items() if value is not None}
    inputs = processor(images=images, text=text, unnorm_key=key, **given)
    wanted = prediction_trace.Asked(images, text, inputs, {"unnorm_key": key})
    with own_randomness(0, model.device):
        found = trace(model, processor, wanted)
    plot_trace(path, found, model, processor, wanted)
    actions = torch.from_numpy(found.drawn.actions)
    return f"{tuple(actions.shape)}\n{actions[0, :3]}\n"
