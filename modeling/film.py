"""Feature-wise linear modulation (Perez et al., arXiv 1709.07871), as OpenVLA-OFT and CogVLA condition their vision
towers on the instruction (JiuTian-VL/CogVLA, prismatic/models/film_vit_wrapper.py)."""

import torch
from torch import nn


class ZeroLinear(nn.Linear):
    """A linear map that `StrictPreTrainedModel` initialises with zeros."""


class FiLM(nn.Module):
    """Two linear maps from a condition to a scale and a shift per channel. New, as zeros, it changes nothing."""

    def __init__(self, condition_size: int, hidden_size: int):
        super().__init__()
        self.scale = ZeroLinear(condition_size, hidden_size)
        self.shift = ZeroLinear(condition_size, hidden_size)

    def forward(self, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """condition: (batch, condition_size) -> factor `1 + scale` and shift, each (batch, 1, hidden_size)."""
        return 1 + self.scale(condition).unsqueeze(1), self.shift(condition).unsqueeze(1)


def modulate(hidden_states: torch.Tensor, factor: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """`hidden_states * factor + shift` per sample.

    hidden_states: (batch * views, tokens, hidden_size), the views of a sample side by side;
    factor, shift: (batch, 1, hidden_size), the same for all views.
    """
    per_sample = hidden_states.reshape(factor.shape[0], -1, hidden_states.shape[-1])
    return torch.addcmul(shift, per_sample, factor).view_as(hidden_states)
