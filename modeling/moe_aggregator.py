"""Fusion of the two vision towers: two projectors that the instruction weighs (CogVLA, arXiv 2508.21046).

Upstream: JiuTian-VL/CogVLA, prismatic/models/router.py.
"""

from collections.abc import Sequence

import torch
from torch import nn

from .mlp import MLP


class MoEAggregator(nn.Module):
    """Projects each tower's tokens to the language width and adds them, weighted per sample."""

    def __init__(self, featurizer_size: int, fused_featurizer_size: int, hidden_size: int):
        super().__init__()
        self.router = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, 2))
        self.featurizer_proj = MLP(featurizer_size, hidden_size)
        self.fused_featurizer_proj = MLP(fused_featurizer_size, hidden_size)

    def forward(
        self, features: torch.Tensor, fused_features: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        features, fused_features: (batch, tokens, width of the tower); condition: (batch, hidden_size).
        Returns tokens (batch, tokens, hidden_size) and the two weights (batch, 2), in float32, adding up to one.
        """
        ratios = self.ratios(condition)
        first, second = ratios.to(features.dtype)[:, :, None, None].unbind(1)
        return self.featurizer_proj(features) * first + self.fused_featurizer_proj(fused_features) * second, ratios

    def ratios(self, condition: torch.Tensor) -> torch.Tensor:
        """The two weights (batch, 2), in float32; condition: (batch, hidden_size)."""
        return self.router(condition).softmax(dim=-1, dtype=torch.float32)


def ratio_figures(moe_ratios: torch.Tensor | None, towers: Sequence[str]) -> dict[str, torch.Tensor]:
    """`moe_ratio/TOWER`, the mean weight of each, to be logged; moe_ratios: (..., 2) or `None`: nothing is."""
    if moe_ratios is None:
        return {}
    ratios = moe_ratios.flatten(0, -2).mean(dim=0)
    return {f"moe_ratio/{tower}": ratio for tower, ratio in zip(towers, ratios, strict=True)}
