"""The way of flow matching from noise to actions, from what its network was asked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...configuration.ode_choices import ODE_CHOICES
from ...modeling.ode_sampling import asked_progress
from .prediction_trace import Asked, Drawn, path_of


def steps_in_words(config: Any, options: Mapping[str, Any]) -> str:
    """How the steps of a flow were made, behind their number; nothing of a head that follows none.

    options: of the prediction; what they leave out is that of the model's config.
    """
    if not config.follows_flow:
        return ""
    solver, spacing = (options.get(name) or getattr(config, name) for name in ODE_CHOICES)
    scale = options.get("guidance_scale", config.dit_config.guidance_scale) if config.can_be_guided else None
    guided = "" if scale in (None, 1) else f", guidance {scale:g}"
    return f" ({solver}, {spacing}{guided})"


def flow_path(model: Any, asked: Asked, noisy: list[torch.Tensor], drawn: Drawn) -> np.ndarray:
    """`PredictionTrace.path`: the states at which steps begin, and the prediction.

    noisy: (rows, num_action_chunks, action_dim), normalised, as the network read them, in its precision: at the
        beginning of each step and, of solvers of second order, once more within it.
    """
    solver = asked.options.get("ode_solver") or model.config.ode_solver
    evaluations = len(asked_progress(1, solver))  # of one step
    return path_of(model, asked, noisy[::evaluations], drawn)
