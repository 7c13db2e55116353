"""The MLP with residual blocks that action heads read actions with (OpenVLA-OFT, arXiv 2502.19645).

Upstream: moojink/openvla-oft, prismatic/models/action_heads.py.
"""

import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    """`x + relu(linear(norm(x)))`."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.ffn = nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, hidden_size), nn.ReLU())

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states + self.ffn(hidden_states)


class MLPResNet(nn.Module):
    """(..., input_size) -> (..., output_size) through `num_blocks` residual blocks of `hidden_size`."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_blocks: int = 2):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(input_size)
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.mlp_resnet_blocks = nn.ModuleList(ResidualBlock(hidden_size) for _ in range(num_blocks))
        self.layer_norm2 = nn.LayerNorm(hidden_size)
        self.fc2 = nn.Linear(hidden_size, output_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden_states = F.relu(self.fc1(self.layer_norm1(features)))
        for block in self.mlp_resnet_blocks:
            hidden_states = block(hidden_states)
        return self.fc2(self.layer_norm2(hidden_states))
