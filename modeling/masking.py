"""Who may look at whom, and means over part of a sequence.

Who may look is decided in bool, (batch, queries, keys), true where a query may look at a key. Attention of transformers
and torch's fused one take it as it is, with a dimension for the heads; attention that is written out (`eager`) adds a
mask to its scores, 0 where a query may look and the dtype's lowest value elsewhere. Fused kernels must not get such a
lowest value: the normaliser of a row that holds nothing else is it, and cuDNN's gradients are NaN then. No row is
without a key for the same reason.
"""

import torch

from ..configuration.vla_errors import InputError


def parallel_decoding_mask(
    real: torch.Tensor, block: torch.Tensor, mode: str, dtype: torch.dtype, implementation: str = "eager"
) -> torch.Tensor:
    """The mask of one whole forward pass, (batch, 1, sequence, sequence).

    Args:
        real: (batch, sequence) bool, false on padding, which comes last and which nobody looks at.
        block: (batch, sequence) bool, action and stop tokens.
        mode: `causal`; `block`: causal, and open among the tokens of `block` (CogVLA); `bidirectional` (OpenVLA-OFT).
        dtype, implementation: see `mask_for`.
    """
    position = torch.arange(real.shape[1], device=real.device)
    allowed = real[:, None, :].expand(-1, real.shape[1], -1)
    if mode != "bidirectional":
        visible = (position[None, :] <= position[:, None])[None]
        if mode == "block":
            visible = visible | (block[:, :, None] & block[:, None, :])
        allowed = allowed & visible
    return mask_for(implementation, allowed, dtype)


def decoding_mask(real: torch.Tensor, dtype: torch.dtype, implementation: str = "eager") -> torch.Tensor:
    """The mask of one new token over everything before it; real: (batch, keys) bool, the new token included."""
    return mask_for(implementation, real[:, None, :], dtype)


def mask_for(implementation: str | None, allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, queries, keys) bool -> the mask (batch, 1, queries, keys) that an attention takes.

    implementation: `_attn_implementation` of the config; dtype: of the states, for `eager`.
    """
    return additive(allowed, dtype) if implementation == "eager" else allowed.unsqueeze(1)


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, queries, keys) bool -> (batch, 1, queries, keys) of `dtype`."""
    blocked = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=allowed.device)
    return torch.where(allowed, blocked.new_zeros(()), blocked).unsqueeze(1)


def without_empty_rows(allowed: torch.Tensor) -> torch.Tensor:
    """(batch, length, length) bool, where padding, which sees nothing and is not seen, sees itself."""
    return allowed | torch.eye(allowed.shape[-1], dtype=torch.bool, device=allowed.device)


def without_answers(
    tokens: torch.Tensor, attention_mask: torch.Tensor | None, answer_mask: torch.Tensor
) -> torch.Tensor:
    """(batch, length) int64, 1 on real tokens that are no answer; tokens: (batch, length), for the shape.

    Raises InputError for a mask of another shape.
    """
    if answer_mask.shape != tokens.shape:
        raise InputError(f"answer_mask has shape {tuple(answer_mask.shape)}; (batch, length) is {tuple(tokens.shape)}.")
    real = torch.ones_like(answer_mask) if attention_mask is None else attention_mask
    return real.long() * (answer_mask == 0)


def masked_mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of hidden_states (batch, sequence, size) over mask (batch, sequence) bool -> (batch, 1, size)."""
    total = mask.to(hidden_states.dtype).unsqueeze(1) @ hidden_states
    return total / mask.sum(dim=1).view(-1, 1, 1)
