"""The way of flow matching from noise to actions, from what its network was asked."""

from typing import Any

import numpy as np
import torch

from ...modeling.ode_sampling import asked_progress
from .prediction_trace import Asked, Drawn, path_of


def flow_path(model: Any, asked: Asked, noisy: list[torch.Tensor], drawn: Drawn) -> np.ndarray:
    """`PredictionTrace.path`: the states at which steps begin, and the prediction.

    noisy: (rows, num_action_chunks, action_dim), normalised, as the network read them, in its precision: at the
        beginning of each step and, of solvers of second order, once more within it.
    """
    solver = asked.options.get("ode_solver") or model.config.ode_solver
    evaluations = len(asked_progress(1, solver))  # of one step
    return path_of(model, asked, noisy[::evaluations], drawn)
