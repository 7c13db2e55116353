"""Flow matching as Alpamayo-R1 counts it (arXiv 2511.00088): time from 0 (noise) to 1 (data), velocity x - noise.

The rest of the project runs time the other way (flow_matching.py), and the steps are taken there. All of it is
float32. Upstream: NVlabs/alpamayo, diffusion/flow_matching.py.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from ...configuration.ode_choices import ODE_CHOICES
from ...configuration.vla_errors import ConfigError, InputError
from ..flow_matching import FlowMatchingLoss
from ..ode_sampling import OdeSampling, chosen_sampling, integrate
from .guided_velocity import check_finite_number, guided_velocity

LATEST = 0.999  # time that training with `beta` draws stays below
SAMPLERS = ("beta", "uniform")


def training_times(draw: torch.Tensor, sampler: str) -> torch.Tensor:
    """Times in [0, 1) from draws: of Beta(1.5, 1), which makes early times frequent, or uniform ones."""
    return LATEST - LATEST * draw if sampler == "beta" else draw


class FlowMatching(nn.Module):
    """Sampling of actions from noise, and what training needs; it has no state.

    Args:
        x_dims: shape of one sample, (n_waypoints, 2).
        int_method: `euler`, the only one that is published; it is where `ode_solver` is not given.
        num_inference_steps, ode_solver, ode_spacing: of `sample`, where it is not told otherwise; see
            `ode_sampling.py`.
        train_timestep_sampler: `beta` or `uniform`.
        inference_guidance_weight, use_classifier_free_guidance: of `sample`, where it is not told otherwise.
        train_ignore_guidance_rate: read and without effect: which share of a training ran without guidance.

    Raises:
        ConfigError: an option has an unknown value.
    """

    def __init__(
        self,
        x_dims: Sequence[int] | int,
        int_method: str = "euler",
        num_inference_steps: int = 10,
        train_timestep_sampler: str = "beta",
        ode_solver: str | None = None,
        ode_spacing: str = "uniform",
        inference_guidance_weight: float = 1.0,
        use_classifier_free_guidance: bool = False,
        train_ignore_guidance_rate: float | None = None,
    ):
        super().__init__()
        if int_method != "euler":
            raise ConfigError(f"int_method={int_method!r} is unknown; only euler is there, others are an ode_solver.")
        self.ode_solver, self.ode_spacing = ode_solver or int_method, ode_spacing
        for name, known in ODE_CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} is unknown; choose from {', '.join(known)}.")
        if train_timestep_sampler not in SAMPLERS:
            raise ConfigError(
                f"train_timestep_sampler={train_timestep_sampler!r} is unknown; choose from {', '.join(SAMPLERS)}."
            )
        self.x_dims = (x_dims,) if isinstance(x_dims, int) else tuple(x_dims)
        self.num_inference_steps = num_inference_steps
        self.inference_guidance_weight = inference_guidance_weight
        self.use_classifier_free_guidance = use_classifier_free_guidance
        self.train_timestep_sampler = train_timestep_sampler
        self.flow_loss = FlowMatchingLoss()

    @torch.no_grad()
    def sample(
        self,
        batch_size: int,
        step_fn: Callable[..., torch.Tensor],
        device: torch.device | str = "cpu",
        return_all_steps: bool = False,
        inference_step: int | None = None,
        noise: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        ode_solver: str | None = None,
        ode_spacing: str | None = None,
        unguided_step_fn: Callable[..., torch.Tensor] | None = None,
        use_classifier_free_guidance: bool | None = None,
        inference_guidance_weight: float | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Samples (batch_size, *x_dims) in steps from noise.

        Args:
            step_fn: called as `step_fn(x=..., t=...)` with the state (batch_size, *x_dims) and the time
                (batch_size, 1, 1), one 1 for each of x_dims; returns the velocity, like x.
            return_all_steps: return (batch_size, steps + 1, *x_dims), from noise to sample, and the times (steps + 1,).
            inference_step, ode_solver, ode_spacing: number of steps, and how they are made.
            noise: (batch_size, *x_dims); drawn from `generator` or torch's own when left out.
            unguided_step_fn: as `step_fn`, without what the latter is guided by; called for the same x and t.
            use_classifier_free_guidance, inference_guidance_weight: whether the two are mixed, and how, see
                `guided_velocity`; by default as this module was made.
            temperature: factor of the noise, given or drawn.

        Raises:
            InputError: `inference_step` is no whole number above 0, a choice is unknown, the noise has another shape,
                guidance is asked for without `unguided_step_fn`, or a weight or temperature is no finite number.
        """
        ode = self.sampling(inference_step, ode_solver, ode_spacing)
        is_guided = use_classifier_free_guidance
        if self.use_classifier_free_guidance if is_guided is None else is_guided:
            weight = self.inference_guidance_weight if inference_guidance_weight is None else inference_guidance_weight
            step_fn = guided_velocity(step_fn, unguided_step_fn, weight)
        states, noise = [], self.checked_or_drawn(batch_size, noise, generator, device, temperature)

        def backwards(x: torch.Tensor, progress: float) -> torch.Tensor:
            t = torch.full((batch_size, *[1] * len(self.x_dims)), progress, dtype=torch.float32, device=x.device)
            return -step_fn(x=x, t=t)

        sample = integrate(backwards, noise, *ode, states if return_all_steps else None)
        if not return_all_steps:
            return sample
        times = torch.linspace(0, 1, ode.num_inference_steps + 1, dtype=torch.float32, device=sample.device)
        times = times if ode.ode_spacing == "uniform" else 1 - torch.cos(times * math.pi / 2)
        return torch.stack([*states, sample], dim=1), times

    def sampling(
        self, num_steps: int | None = None, ode_solver: str | None = None, ode_spacing: str | None = None
    ) -> OdeSampling:
        """What is given, else the default. Raises InputError for no step, for part of one, and for unknown choices."""
        return chosen_sampling(self, None, num_steps, ode_solver, ode_spacing)

    def checked_or_drawn(
        self,
        batch_size: int,
        noise: torch.Tensor | None,
        generator: torch.Generator | None,
        device: torch.device | str,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Noise (batch_size, *x_dims), float32, times a temperature. Raises InputError as `sample` does."""
        check_finite_number("noise temperature", temperature, least=0.0)
        wanted = batch_size, *self.x_dims
        if noise is None:
            place = device if generator is None else generator.device  # torch draws only where its generator is
            noise = torch.randn(wanted, generator=generator, device=place, dtype=torch.float32)
        if noise.shape != wanted:
            raise InputError(f"noise has shape {tuple(noise.shape)}; {wanted} is needed.")
        noise = noise.to(device, torch.float32)
        return noise if temperature == 1 else noise * float(temperature)

    def construct_training_data(
        self, x: torch.Tensor, noise: torch.Tensor | None = None, timesteps: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """A training batch: `x`, `noise` and `noisy_x` (batch, *x_dims), `timesteps` (batch, 1, 1), float32.

        x: data (batch, *x_dims); noise: of that shape; timesteps: (batch,) in 0..1; both are drawn when left out.

        Raises:
            InputError: x, noise or timesteps has another shape.
        """
        batch = x.shape[0]
        if x.shape != (batch, *self.x_dims):
            raise InputError(f"x has shape {tuple(x.shape)}; (batch, *x_dims) with x_dims={self.x_dims} is needed.")
        noise = self.checked_or_drawn(batch, noise, None, x.device)
        if timesteps is None:
            draw = torch.rand(batch, dtype=torch.float32, device=x.device)
            if self.train_timestep_sampler == "beta":
                draw = draw ** (1 / 1.5)  # its distribution function is draw ** 1.5
            timesteps = training_times(draw, self.train_timestep_sampler)
        if timesteps.numel() != batch:
            raise InputError(f"timesteps has shape {tuple(timesteps.shape)}; one for each of {batch} samples.")
        x, timesteps = x.float(), timesteps.to(x.device, torch.float32).view(-1, *[1] * len(self.x_dims))
        return {"x": x, "noise": noise, "noisy_x": timesteps * x + (1 - timesteps) * noise, "timesteps": timesteps}

    def compute_loss_from_pred(
        self,
        training_data: dict[str, torch.Tensor],
        pred: torch.Tensor,
        total: torch.Tensor | None = None,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error of a velocity like `x`, a scalar in float32.

        training_data: as constructed here; total, sample_weight (its `weight`): see `FlowMatchingLoss`.
        """
        return self.flow_loss(pred, training_data["x"] - training_data["noise"], weight=sample_weight, total=total)
