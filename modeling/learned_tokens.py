"""Learned tokens in a module that holds nothing else, so that PEFT's `modules_to_save` can name them."""

import torch
from torch import nn


class LearnedTokens(nn.Module):
    """`num_tokens` vectors of `hidden_size`, the same for every sample; the model that has them initialises them."""

    def __init__(self, num_tokens: int, hidden_size: int):
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(num_tokens, hidden_size))

    def forward(self, batch_size: int) -> torch.Tensor:
        """(batch_size, num_tokens, hidden_size)."""
        return self.tokens.expand(batch_size, -1, -1)
