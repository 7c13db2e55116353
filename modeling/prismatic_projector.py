"""The projector of channels that two vision towers give side by side, as OpenVLA has it (arXiv 2406.09246).

Upstream: openvla/openvla, prismatic/extern/hf/modeling_prismatic.py.
"""

import torch
from torch import nn

from .mlp import gelu_of


class PrismaticProjector(nn.Module):
    """Three linear layers with GELU between, the first four times as wide as its input; for joined channels."""

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.fc1 = nn.Linear(input_size, 4 * input_size)
        self.fc2 = nn.Linear(4 * input_size, output_size)
        self.fc3 = nn.Linear(output_size, output_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc3(gelu_of(self.fc2, gelu_of(self.fc1, features)))
