"""From the language model's states at the action positions to actions (OpenVLA-OFT, arXiv 2502.19645).

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


class ContinuousActionHead(nn.Module):
    """One vector per step of the chunk, read from the states of that step's action tokens together.

    The L1 head's output is the normalised action, the diffusion head's the noise in it.
    """

    def __init__(self, hidden_size: int, num_action_chunks: int, action_dim: int):
        super().__init__()
        self.num_action_chunks = num_action_chunks
        self.model = MLPResNet(action_dim * hidden_size, hidden_size, action_dim)

    def forward(self, action_hidden_states: torch.Tensor) -> torch.Tensor:
        """(batch, num_action_chunks * action_dim, hidden_size) -> (batch, num_action_chunks, action_dim)."""
        batch = action_hidden_states.shape[0]
        return self.model(action_hidden_states.reshape(batch, self.num_action_chunks, -1))
