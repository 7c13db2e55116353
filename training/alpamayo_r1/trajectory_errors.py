"""How far sampled trajectories are from the driven ones, over many scenes and up to several horizons."""

from typing import Any

import torch

from ...modeling.alpamayo_r1.trajectory_metrics import minADE, minFDE
from ..action_errors import action_errors
from .time_step import TIME_STEP

SECOND = 10  # waypoints


def trajectory_errors(pred_xyz: torch.Tensor, future_xyz: torch.Tensor) -> dict[str, Any]:
    """Means over scenes, in metres; distances in the plane.

    Args:
        pred_xyz: (scenes, samples, waypoints, 3).
        future_xyz: (scenes, waypoints, 3), the driven paths in the same frames.

    Returns:
        `minADE` and `minFDE` of the best of the samples, and `ADE` and `FDE` of all of them; `horizons`, for every full
        second and the end the `seconds`, `minADE` and `minFDE` up to there (the sample of minADE is the best over the
        whole path, as published); and of the sample with the least ADE `mae`, `rmse` and `per_step` of x, y, z, as in
        `action_errors`.

    Raises:
        InputError: the shapes do not fit.
    """
    sets, steps = pred_xyz.unsqueeze(1), future_xyz.shape[1]
    ends = sorted({*range(SECOND, steps + 1, SECOND), steps})
    horizons = [
        {
            "seconds": round(end * TIME_STEP, 1),
            "minADE": minADE(sets, future_xyz, end).mean().item(),
            "minFDE": minFDE(sets, future_xyz, end).mean().item(),
        }
        for end in ends
    ]
    distances = (pred_xyz.float() - future_xyz.float()[:, None])[..., :2].norm(dim=-1)
    best = best_samples(pred_xyz, future_xyz)
    errors = action_errors(best.numpy(), future_xyz.numpy(), torch.zeros(best.shape[:2], dtype=torch.bool).numpy())
    return {
        **{name: horizons[-1][name] for name in ("minADE", "minFDE")},
        "ADE": distances.mean().item(),
        "FDE": distances[..., -1].mean().item(),
        "horizons": horizons,
        **{name: errors[name] for name in ("mae", "rmse", "per_step")},
    }


def best_samples(pred_xyz: torch.Tensor, future_xyz: torch.Tensor) -> torch.Tensor:
    """(scenes, waypoints, 3): of each scene the sample with the least mean distance in the plane."""
    distances = (pred_xyz.float() - future_xyz.float()[:, None])[..., :2].norm(dim=-1).mean(dim=-1)
    return pred_xyz[torch.arange(len(pred_xyz)), distances.argmin(dim=1)]
