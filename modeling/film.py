"""Feature-wise linear modulation (Perez et al., arXiv 1709.07871), as OpenVLA-OFT and CogVLA condition their vision
towers on the instruction (JiuTian-VL/CogVLA, prismatic/models/film_vit_wrapper.py)."""

from collections.abc import Sequence

import torch
from torch import nn

from .fused_linears import is_unhooked, product_if_joined, product_of


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
        scale, shift = product_of((self.scale, self.shift), condition)
        return 1 + scale.unsqueeze(1), shift.unsqueeze(1)


def film_terms(films: Sequence[FiLM], condition: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Factor and shift of each of several, of one condition (batch, condition_size), in one product if possible."""
    linears = [linear for film in films for linear in (film.scale, film.shift)]
    joint = product_if_joined(linears, condition) if all(is_unhooked(film) for film in films) else None
    if joint is None:
        return [film(condition) for film in films]
    scales, shifts = joint.view(len(joint), len(films), 2, -1).unbind(2)
    return list(zip((1 + scales).split(1, dim=1), shifts.split(1, dim=1), strict=True))


def modulate(hidden_states: torch.Tensor, factor: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """`hidden_states * factor + shift` per sample.

    hidden_states: (batch * views, tokens, hidden_size), the views of a sample side by side;
    factor, shift: (batch, 1, hidden_size), the same for all views.
    """
    per_sample = hidden_states.reshape(factor.shape[0], -1, hidden_states.shape[-1])
    return torch.addcmul(shift, per_sample, factor).view_as(hidden_states)
