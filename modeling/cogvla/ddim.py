"""Denoising diffusion with the deterministic DDIM sampler (Song et al., arXiv 2010.02502), as OpenVLA-OFT uses it:
cosine schedule `squaredcos_cap_v2` (Nichol and Dhariwal, arXiv 2102.09672), noise prediction, eta 0."""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch

MAX_BETA = 0.999
CLIP = 1.0


@torch.compiler.assume_constant_result  # numbers of Python, also in a compiled prediction
def signal_levels(num_steps: int) -> tuple[float, ...]:
    """Share of the clean sample's variance left after each step 0..num_steps-1 (`alphas_cumprod`).

    In float32, as published: 1 - 0.999 is off by 1e-5 there.
    """
    return kept_levels(num_steps)


@lru_cache(16)
def kept_levels(num_steps: int) -> tuple[float, ...]:
    """See `signal_levels`, computed once."""
    betas = [1 - cosine_level((i + 1) / num_steps) / cosine_level(i / num_steps) for i in range(num_steps)]
    kept = 1 - torch.tensor(betas, dtype=torch.float32, device="cpu").clamp(max=MAX_BETA)
    return tuple(kept.cumprod(dim=0).tolist())


def cosine_level(time: float) -> float:
    """The schedule before its slopes are limited; time: 0 (clean) to 1 (noise)."""
    return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2


def add_noise(
    clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, levels: Sequence[float]
) -> torch.Tensor:
    """The noised sample, float32. clean, noise: (batch, ...); timesteps: (batch,); levels: see `signal_levels`."""
    levels = torch.tensor(levels, dtype=torch.float32, device=clean.device)[timesteps]
    levels = levels.view(-1, *[1] * (clean.dim() - 1))
    return levels.sqrt() * clean.float() + (1 - levels).sqrt() * noise.float()


def sampling_steps(num_steps: int, num_inference_steps: int) -> range:
    """The steps of the training schedule that a sampler visits, noisiest first: "leading" spacing.

    `num_inference_steps` multiples of `num_steps // num_inference_steps` from 0 on; all steps where the two are equal.
    Source: diffusers, `DDIMScheduler.set_timesteps` with `timestep_spacing="leading"` and `steps_offset=0`, the
    defaults with which OpenVLA-OFT's head makes its scheduler.
    """
    stride = num_steps // num_inference_steps
    return range((num_inference_steps - 1) * stride, -1, -stride)


def ddim_step(
    sample: torch.Tensor, noise: torch.Tensor, levels: Sequence[float], step: int, stride: int = 1
) -> torch.Tensor:
    """One step towards the clean sample: `sample` at `step` and the predicted `noise` -> the sample `stride` earlier.

    The estimate of the clean sample is clipped to [-1, 1]; the noise is not recomputed from it. Before step 0 nothing
    of the noise is left. levels: see `signal_levels`.
    """
    level, previous = levels[step], levels[step - stride] if step >= stride else 1.0
    clean = (sample - math.sqrt(1 - level) * noise.float()) / math.sqrt(level)
    return math.sqrt(previous) * clean.clamp(-CLIP, CLIP) + math.sqrt(1 - previous) * noise.float()


def sinusoidal_embedding(timesteps: torch.Tensor, size: int) -> torch.Tensor:
    """timesteps: (n,) -> (n, size) in float32: sines, then cosines, of frequencies from 1 down to 1/10000."""
    half = size // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(steps * (-math.log(10000) / (half - 1)))
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
