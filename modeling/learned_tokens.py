"""Learned tokens in a module that holds nothing else, so that PEFT's `modules_to_save` can name them."""

import torch
from torch import nn


class LearnedTokens(nn.Module):
    """Vectors that are the same for every sample; the model that has them initialises them.

    Args:
        shape: (num_tokens, hidden_size), or (1, num_tokens, hidden_size), as it was published.
    """

    def __init__(self, *shape: int):
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(shape))

    def forward(self, beside: torch.Tensor) -> torch.Tensor:
        """For each row of another tensor, beside which they will stand: (batch, num_tokens, hidden_size)."""
        return self.tokens.expand(len(beside), -1, -1)
