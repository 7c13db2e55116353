"""Flow matching along straight lines between noise and actions (arXiv 2210.02747, and pi0, arXiv 2410.24164).

One convention for every expert of the project: `time` runs from 1 (noise) to 0 (actions), `x_t = time * noise +
(1 - time) * actions`, and the velocity is `noise - actions`. All of it is computed in float32. How a velocity is
followed to actions: `ode_sampling.py`.
"""

import math

import torch
import torch.distributed as dist
from torch import nn

from ..configuration.vla_errors import ConfigError, InputError
from .loss_items import weighted_mean
from .ode_sampling import integrate as integrate  # the way from noise to actions, here for whoever looks for it

TIME_MARGIN = 1e-3


def sample_time(batch_size: int, distribution: str = "beta", device: torch.device | str | None = None) -> torch.Tensor:
    """(batch,) float32 inside (0.001, 0.999): `beta` draws from Beta(1.5, 1), `uniform` evenly.

    Raises:
        ConfigError: the distribution is another.
    """
    check_sampling(distribution)
    if distribution == "beta":  # its distribution function is time ** 1.5
        time = torch.rand(batch_size, dtype=torch.float32, device=device) ** (1 / 1.5)
    else:
        time = torch.rand(batch_size, dtype=torch.float32, device=device)
    return time * (1 - 2 * TIME_MARGIN) + TIME_MARGIN


def check_sampling(distribution: str) -> None:
    """Raises ConfigError for a distribution of times that there is not; a config may have been given it later."""
    if distribution not in ("beta", "uniform"):
        raise ConfigError(f"time_sampling={distribution!r} is unknown; choose from beta, uniform.")


def interpolate(actions: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Noisy actions (batch, horizon, action_dim) at time (batch,)."""
    time = time.float().view(-1, 1, 1)
    return time * noise.float() + (1 - time) * actions.float()


class FlowMatchingLoss(nn.Module):
    """Mean squared error of a velocity; a module, so that a hook can watch velocities and targets in training."""

    def forward(
        self,
        velocity: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        learnt: torch.Tensor | None = None,
        total: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A scalar in float32.

        velocity, target: (batch, horizon, action_dim), predicted and wanted; weight: (batch,), of the samples; learnt:
        (batch, horizon), of the steps; total: of weights and steps in all batches that make one training step, see
        `loss_items.py`. Without it the weights are relative to their mean over the batches of all processes that train
        together.
        """
        errors = (velocity.float() - target).square().mean(dim=2)
        if weight is None and learnt is None and total is None:
            return errors.mean()
        weights = step_weights(errors, weight, learnt)
        if total is None:
            total = self.common_mean(weights) * weights.numel()
        return weighted_mean(errors, weights, total)

    def common_mean(self, weight: torch.Tensor) -> torch.Tensor:
        """As in batch normalisation of several processes, they are asked in training only."""
        mean = weight.mean()
        if self.training and dist.is_available() and dist.is_initialized():
            dist.all_reduce(mean)
            mean = mean / dist.get_world_size()
        return mean


def step_weights(like: torch.Tensor, weight: torch.Tensor | None, learnt: torch.Tensor | None) -> torch.Tensor:
    """Like (batch, horizon), float32: the product of what samples (batch,) and steps (batch, horizon) weigh."""
    weights = torch.ones_like(like, dtype=torch.float32)
    weights = weights if weight is None else weights * weight.to(like.device, torch.float32)[:, None]
    return weights if learnt is None else weights * learnt.to(like.device, torch.float32)


def sinusoidal_time_embedding(time: torch.Tensor, size: int, min_period: float, max_period: float) -> torch.Tensor:
    """(batch,) -> (batch, size) float32: sines, then cosines, of periods spaced geometrically (pi0)."""
    steps = torch.linspace(0, 1, size // 2, dtype=torch.float32, device=time.device)
    periods = min_period * (max_period / min_period) ** steps
    angles = time.float()[:, None] * (2 * math.pi / periods)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def check_share(time: torch.Tensor) -> None:
    """Refuse times of training outside of 0..1; one look at their values.

    Raises:
        InputError: the message names the first.
    """
    wrong = [] if torch.compiler.is_compiling() else [t for t in time.flatten().tolist() if not 0 <= t <= 1]
    if wrong:
        raise InputError(f"time holds {wrong[0]}; 0 to 1 is possible.")
