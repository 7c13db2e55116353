"""Where learned tokens beside the patches of a vision tower look, from the queries and keys of one of its blocks."""

import torch

from .prediction_trace import PatchAttention, on_host


def patch_attention(
    encoder: str, query: torch.Tensor, key: torch.Tensor, num_heads: int, num_tokens: int, grid: tuple[int, int]
) -> PatchAttention:
    """Mean over the heads.

    Args:
        encoder: its name.
        query, key: (views, tokens, hidden_size); tokens are class token and registers, patches, learned tokens.
        num_tokens: learned ones, of a view.
        grid: rows and columns of patches.
    """
    query, key = (part.float().unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in (query, key))
    scores = query[:, :, -num_tokens:] @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    patches = grid[0] * grid[1]
    given = scores.softmax(dim=-1).mean(dim=1)[..., -num_tokens - patches : -num_tokens]
    on_patches = given.sum(dim=-1)
    return PatchAttention(encoder, on_host(given / on_patches.unsqueeze(-1)), on_host(on_patches), grid)
