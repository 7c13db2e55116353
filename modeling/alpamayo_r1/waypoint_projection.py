"""Noisy actions and their time as tokens of the trajectory expert (Alpamayo-R1, arXiv 2511.00088).

Upstream: NVlabs/alpamayo, models/action_in_proj.py.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from ...configuration.vla_errors import ConfigError, InputError
from ..modules import floating_dtype
from .published_constants import drop_constants


def frequencies(num_features: int, max_freq: float, device: torch.device | str) -> torch.Tensor:
    """(num_features / 2,) float32, from 1 to `max_freq`, in equal ratios."""
    return torch.logspace(0, math.log10(max_freq), num_features // 2, dtype=torch.float32, device=device)


def fourier_features(values: torch.Tensor, num_features: int, max_freq: float) -> torch.Tensor:
    """(...) -> (..., num_features) float32: sines, then cosines, of the values' multiples; of mean square 1."""
    waves = values.float().unsqueeze(-1) * frequencies(num_features, max_freq, values.device) * 2 * math.pi
    return torch.cat([waves.sin(), waves.cos()], dim=-1) * math.sqrt(2)


class WaypointEncoder(nn.Module):
    """A linear layer with SiLU, then `num_layers` of RMSNorm and linear, with SiLU between them."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_layers: int):
        super().__init__()
        layers = [nn.Linear(input_size, hidden_size), nn.SiLU()]
        for _ in range(num_layers - 1):
            layers += [nn.RMSNorm(hidden_size, eps=1e-5), nn.Linear(hidden_size, hidden_size), nn.SiLU()]
        layers += [nn.RMSNorm(hidden_size, eps=1e-5), nn.Linear(hidden_size, output_size)]
        self.trunk = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.trunk(features)


class PerWaypointActionInProjV2(nn.Module):
    """One token for each waypoint: Fourier features of its action and of the time, an MLP, a norm.

    The frequencies are no state: they follow from the arguments, and phases are float32 whatever the weights are. A
    published state dict is accepted; its frequencies are compared and dropped.

    Args:
        in_dims: shape of an action, (waypoints, dimensions).
        out_dim: width of a token.
        num_enc_layers, hidden_size: normed layers of the MLP, and its width.
        max_freq, num_fourier_feats: the highest frequency, and the features of each number.

    Raises:
        ConfigError: the features are not an even number, `max_freq` is below 1, or there are no layers.
    """

    def __init__(
        self,
        in_dims: Sequence[int],
        out_dim: int,
        num_enc_layers: int = 4,
        hidden_size: int = 1024,
        max_freq: float = 100.0,
        num_fourier_feats: int = 20,
    ):
        super().__init__()
        if num_fourier_feats < 2 or num_fourier_feats % 2:
            raise ConfigError(f"num_fourier_feats={num_fourier_feats} must be even and above 0: sines and cosines.")
        if max_freq < 1 or num_enc_layers < 1:
            raise ConfigError(f"max_freq={max_freq} and num_enc_layers={num_enc_layers} must be 1 or more.")
        self.in_dims, self.out_dim = tuple(in_dims), out_dim
        self.max_freq, self.num_fourier_feats = max_freq, num_fourier_feats
        inputs = (self.in_dims[-1] + 1) * num_fourier_feats
        self.encoder = WaypointEncoder(inputs, hidden_size, out_dim, num_enc_layers)
        self.norm = nn.LayerNorm(out_dim)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        names = [*(f"sinus.{i}.freqs" for i in range(self.in_dims[-1])), "timestep_fourier_encoder.freqs"]
        wanted = frequencies(self.num_fourier_feats, self.max_freq, "cpu").unsqueeze(0)
        drop_constants(state_dict, prefix, dict.fromkeys(names, wanted))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """
        x: (batch, waypoints, dimensions), normalised noisy actions; timesteps: (batch, 1, 1), or anything that
        broadcasts to (batch, waypoints, 1), from 0 (noise) to 1 (data).
        Returns (batch, waypoints, out_dim) of the weights' dtype.

        Raises:
            InputError: x has another number of dimensions.
        """
        if x.dim() != 3 or x.shape[-1] != self.in_dims[-1]:
            raise InputError(
                f"x has shape {tuple(x.shape)}; (batch, waypoints, {self.in_dims[-1]}) normalised actions are needed."
            )
        numbers = torch.cat([x.float(), timesteps.float().expand(*x.shape[:2], 1)], dim=-1)
        features = fourier_features(numbers, self.num_fourier_feats, self.max_freq).flatten(-2)
        return self.norm(self.encoder(features.to(floating_dtype(self))))
