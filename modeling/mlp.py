"""The MLP of vision blocks, and of projectors, which bring features, robot state and noisy actions to the width of the
language model.

Upstream: moojink/openvla-oft, prismatic/models/projectors.py and prismatic/extern/hf/modeling_prismatic.py.
"""

import torch
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    """Linear, exact GELU, linear: (..., input_size) -> (..., output_size); in between as wide as the output, by
    default."""

    def __init__(self, input_size: int, output_size: int, hidden_size: int | None = None):
        super().__init__()
        hidden_size = hidden_size or output_size
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, output_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(features)))
