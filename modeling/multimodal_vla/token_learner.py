"""TokenLearner (Ryoo et al., arXiv 2106.11297): a few tokens, each a weighted mean of all features.

Version 1.1 of the published code (google-research/scenic, projects/token_learner/model.py, `TokenLearnerModuleV11`): an
MLP scores the positions for each token, and a softmax over the positions makes weights of the scores, where the paper's
first version has convolutions and a sigmoid.
"""

import torch
import torch.nn.functional as F
from torch import nn


class TokenLearner(nn.Module):
    """`num_latents` tokens of `hidden_size` from any number of vision features, those of all views together.

    bottleneck_size: width of the MLP that scores positions.
    """

    def __init__(self, input_size: int, hidden_size: int, num_latents: int, bottleneck_size: int = 64):
        super().__init__()
        self.norm = nn.LayerNorm(input_size, eps=1e-6)  # flax's default
        self.fc1 = nn.Linear(input_size, bottleneck_size)
        self.fc2 = nn.Linear(bottleneck_size, num_latents)
        self.proj = nn.Linear(input_size, hidden_size)

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, features, input_size) -> (batch, num_latents, hidden_size).

        mask: (batch, features) bool, true on features that count; `None`: all.
        """
        hidden = F.gelu(self.fc1(self.norm(features)), approximate="tanh")
        scores = self.fc2(hidden) if mask is None else self.fc2(hidden).masked_fill(~mask.unsqueeze(-1), -torch.inf)
        weights = scores.softmax(dim=1, dtype=torch.float32).to(features.dtype)
        return self.proj(weights.mT @ features)
