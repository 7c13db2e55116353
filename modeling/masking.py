"""Who may look at whom, and means over part of a sequence.

Attention masks are additive, (batch, 1, queries, keys): 0 where a query may look, the dtype's minimum elsewhere.
"""

import torch


def parallel_decoding_mask(real: torch.Tensor, block: torch.Tensor, mode: str, dtype: torch.dtype) -> torch.Tensor:
    """The mask of one whole forward pass.

    Args:
        real: (batch, sequence) bool, false on padding, which nobody looks at.
        block: (batch, sequence) bool, action and stop tokens.
        mode: `causal`; `block`: causal, and open among the tokens of `block` (CogVLA); `bidirectional` (OpenVLA-OFT).
    """
    position = torch.arange(real.shape[1], device=real.device)
    allowed = real[:, None, :].expand(-1, real.shape[1], -1)
    if mode != "bidirectional":
        visible = (position[None, :] <= position[:, None])[None]
        if mode == "block":
            visible = visible | (block[:, :, None] & block[:, None, :])
        allowed = allowed & visible
    return additive(allowed, dtype)


def decoding_mask(real: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask of one new token over everything before it; real: (batch, keys) bool, the new token included."""
    return additive(real[:, None, :], dtype)


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, queries, keys) bool -> (batch, 1, queries, keys) of `dtype`."""
    blocked = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=allowed.device)
    return torch.where(allowed, blocked.new_zeros(()), blocked).unsqueeze(1)


def masked_mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of hidden_states (batch, sequence, size) over mask (batch, sequence) bool -> (batch, 1, size)."""
    total = mask.to(hidden_states.dtype).unsqueeze(1) @ hidden_states
    return total / mask.sum(dim=1).view(-1, 1, 1)
