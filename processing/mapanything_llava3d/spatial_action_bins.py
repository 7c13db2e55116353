"""The edges of the bins that a spatial action token counts: evenly spaced, or of equal shares of a normal distribution.

Source: SpatialVLA/SpatialVLA, action_tokenizer.py (arXiv 2501.15830).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...configuration.vla_errors import ConfigError

# Smallest and largest value along each axis, in the order in which a token counts its bins, the last axis fastest. The
# translation's are the polar angle and the azimuth in radians and the length; (1, 1, 1) has the length sqrt(3).
RANGES = {
    "translation": {"theta_bins": (0.0, np.pi), "phi_bins": (-np.pi, np.pi), "r_bins": (0.0, np.sqrt(3))},
    "rotation": {"roll_bins": (-1.0, 1.0), "pitch_bins": (-1.0, 1.0), "yaw_bins": (-1.0, 1.0)},
}


def make_bins(
    num_bins: Mapping[str, Any], gs_params: Mapping[str, Any] | None, min_sigma: float
) -> dict[str, dict[str, np.ndarray]]:
    """`{part: {axis: edges}}`, evenly spaced or from the normal distributions; arguments as in the tokenizer."""

    def edges(part: str, axis: str) -> np.ndarray:
        low, high = RANGES[part][axis]
        if gs_params is None:
            return np.linspace(low, high, num_bins[part][axis] + 1)
        mean, deviation = _mean_and_deviation(gs_params, axis.removesuffix("_bins"), min_sigma)
        return equal_share_edges(low, high, num_bins[part][axis], mean, deviation)

    return {part: {axis: edges(part, axis) for axis in axes} for part, axes in RANGES.items()}


def _mean_and_deviation(gs_params: Mapping[str, Any], axis: str, min_sigma: float) -> tuple[float, float]:
    fitted = gs_params.get(axis)
    if not isinstance(fitted, Mapping) or not {"mu", "sigma"} <= set(fitted):
        raise ConfigError(f"gs_params[{axis!r}] must hold 'mu' and 'sigma', got {fitted!r}.")
    deviation = max(fitted["sigma"], min_sigma)
    if not deviation > 0:
        raise ConfigError(f"gs_params[{axis!r}]['sigma']={fitted['sigma']!r} must be above 0, or min_sigma must be.")
    return fitted["mu"], deviation


def equal_share_edges(low: float, high: float, count: int, mean: float, deviation: float) -> np.ndarray:
    """(count + 1,) float64: between two edges lies the same share of the normal distribution cut to [low, high]."""
    # Share of the distribution below a value; torch.special.ndtr loses digits where it is small.
    below = [math.erfc((mean - value) / deviation / math.sqrt(2)) / 2 for value in (low, high)]
    shares = torch.from_numpy(np.linspace(*below, count + 1))
    return np.clip(torch.special.ndtri(shares).numpy() * deviation + mean, low, high)  # ends may be infinite


def checked_edges(part: str, bins: Mapping[str, Any], counts: list[int]) -> dict[str, np.ndarray]:
    """The edges of one part in the order of its axes, as float64 arrays."""
    checked = {}
    for axis, count in zip(RANGES[part], counts, strict=True):
        edges = np.asarray(bins.get(part, {}).get(axis, []), dtype=np.float64)
        if edges.shape != (count + 1,) or not (np.diff(edges) >= 0).all() or not edges[0] < edges[-1]:
            raise ConfigError(f"the bins of {axis!r} need {count + 1} edges in rising order, got {edges.tolist()}.")
        checked[axis] = edges
    return checked
