"""How far predicted trajectories are from the driven one, in metres.

Several samples are drawn for one scene and the best counts, since the future is open. Upstream: NVlabs/alpamayo,
metrics/distance_metrics.py.
"""

import torch

from ...configuration.vla_errors import InputError


def minADE(
    pred_xyz: torch.Tensor, gt_xyz: torch.Tensor, timestep_horizon: int | None = None, only_xy: bool = True
) -> torch.Tensor:
    """Average displacement error of the best sample of each set, averaged over the sets: (batch,) metres.

    Args:
        pred_xyz: (batch, sets, samples, waypoints, 3) metres.
        gt_xyz: (batch, waypoints, 3) metres, in the same frame.
        timestep_horizon: average over the first so many waypoints; the best sample is still the best over all.
        only_xy: leave the height out.

    Raises:
        InputError: the shapes do not fit, or the horizon is not within the trajectory.
    """
    errors = displacements(pred_xyz, gt_xyz, timestep_horizon, only_xy)
    best = errors.mean(dim=-1, keepdim=True).argmin(dim=2, keepdim=True)
    return errors.take_along_dim(best, dim=2)[..., :timestep_horizon].mean(dim=(1, 2, 3))


def minFDE(
    pred_xyz: torch.Tensor, gt_xyz: torch.Tensor, timestep_horizon: int | None = None, only_xy: bool = True
) -> torch.Tensor:
    """Final displacement error of the sample that ends closest, averaged over the sets: (batch,) metres.

    Arguments and errors as in `minADE`; timestep_horizon: the waypoint (counted from 1) that is taken for the final.
    """
    errors = displacements(pred_xyz, gt_xyz, timestep_horizon, only_xy)
    return errors[..., :timestep_horizon][..., -1].amin(dim=2).mean(dim=1)


def displacements(
    pred_xyz: torch.Tensor, gt_xyz: torch.Tensor, timestep_horizon: int | None, only_xy: bool
) -> torch.Tensor:
    """(batch, sets, samples, waypoints) metres between prediction and truth, float32."""
    if pred_xyz.dim() != 5 or gt_xyz.shape != (pred_xyz.shape[0], *pred_xyz.shape[3:]):
        raise InputError(
            f"pred_xyz has shape {tuple(pred_xyz.shape)} and gt_xyz {tuple(gt_xyz.shape)}; (batch, sets, samples, "
            "waypoints, 3) and (batch, waypoints, 3) are needed."
        )
    waypoints = pred_xyz.shape[3]
    if timestep_horizon is not None and not 1 <= timestep_horizon <= waypoints:
        raise InputError(f"timestep_horizon={timestep_horizon} must lie in 1..{waypoints}, the waypoints given.")
    difference = pred_xyz.float() - gt_xyz.float()[:, None, None]
    return torch.linalg.vector_norm(difference[..., :2] if only_xy else difference, dim=-1)
