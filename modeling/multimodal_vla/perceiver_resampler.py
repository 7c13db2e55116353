"""Learned queries that read any number of tokens: a fixed number of tokens out, however many go in.

After the Perceiver resampler of Flamingo (Alayrac et al., arXiv 2204.14198, appendix A.1.1): in every layer the latents
look at the input and at themselves. Without its embeddings of time: views keep no order.
"""

import torch
from torch import nn

from ..attention import attend
from ..fused_linears import product_of
from ..learned_tokens import LearnedTokens


class CrossAttention(nn.Module):
    """Latents look at tokens and at themselves."""

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm_tokens = nn.LayerNorm(hidden_size)
        self.norm_latents = nn.LayerNorm(hidden_size)
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, latents: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """latents (batch, latents, hidden_size), tokens (batch, tokens, hidden_size), mask as in the resampler."""
        latents = self.norm_latents(latents)
        seen = torch.cat([self.norm_tokens(tokens), latents], dim=1)
        products = self.q_proj(latents), *product_of((self.k_proj, self.v_proj), seen)
        heads = [each.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for each in products]
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(latents.shape[:2])], dim=1)[:, None, None]
        return self.o_proj(attend(*heads, mask).transpose(1, 2).flatten(2))


class PerceiverLayer(nn.Module):
    """Cross-attention and a feed-forward network, each added to what came in."""

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.attention = CrossAttention(hidden_size, num_heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden_size),
            nn.Linear(hidden_size, 4 * hidden_size),
            nn.GELU(),
            nn.Linear(4 * hidden_size, hidden_size),
        )

    def forward(self, latents: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        latents = latents + self.attention(latents, tokens, mask)
        return latents + self.mlp(latents)


class PerceiverResampler(nn.Module):
    """`num_latents` tokens of `hidden_size` from any number of tokens of `input_size`."""

    def __init__(self, input_size: int, hidden_size: int, num_latents: int, num_layers: int, num_heads: int):
        super().__init__()
        self.proj = nn.Linear(input_size, hidden_size)
        self.latents = LearnedTokens(num_latents, hidden_size)
        self.layers = nn.ModuleList(PerceiverLayer(hidden_size, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """tokens: (batch, tokens, input_size); mask: (batch, tokens) bool, true on tokens that may be looked at.
        Returns (batch, num_latents, hidden_size).
        """
        latents, tokens = self.latents(tokens), self.proj(tokens)
        for layer in self.layers:
            latents = layer(latents, tokens, mask)
        return self.norm(latents)
