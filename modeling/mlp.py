"""The MLP of vision blocks, and of projectors, which bring features, robot state and noisy actions to the width of the
language model.

Upstream: moojink/openvla-oft, prismatic/models/projectors.py and prismatic/extern/hf/modeling_prismatic.py.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .fused_linears import is_plain


class MLP(nn.Module):
    """Linear, exact GELU, linear: (..., input_size) -> (..., output_size); in between as wide as the output, by
    default."""

    def __init__(self, input_size: int, output_size: int, hidden_size: int | None = None):
        super().__init__()
        hidden_size = hidden_size or output_size
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, output_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc2(gelu_of(self.fc1, features))


def gelu_of(linear: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Exact GELU of `linear(features)`; in a prediction in the memory of that product, which nobody else reads."""
    if torch.is_grad_enabled() or not is_plain(linear):
        return F.gelu(linear(features))
    return torch.ops.aten.gelu_(linear(features))
