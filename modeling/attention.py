"""Attention of queries over keys: the arithmetic alone, shared by the parts that are not a transformers model."""

import torch
import torch.nn.functional as F


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    implementation: str = "sdpa",
) -> torch.Tensor:
    """Scaled dot-product attention of heads that are laid out already.

    query: (batch, heads, tokens, head_dim); key, value: (batch, heads, keys, head_dim).
    mask: broadcastable to (batch, heads, tokens, keys); bool (True: may look), or of the query's dtype and added to the
        scores. Every token must see a key.
    implementation: `eager` writes the arithmetic out, with the softmax in float32; anything else is torch's fused one.
    Returns (batch, heads, tokens, head_dim).
    """
    if implementation != "eager":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype) @ value
