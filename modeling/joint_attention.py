"""Who sees whom when a prefix (images and text) and a suffix (state, actions, time) are attended to together.

The suffix is one block that sees the prefix and itself; the prefix never sees the suffix. Masks are those of
`masking.py`; positions count the tokens that are not padding.
Upstream: 3dvla-starvla_framework, modeling_mapanything_llava3d_dev.py, and openpi's `make_att_2d_masks`.
"""

import torch

from ..configuration.vla_errors import InputError
from .masking import additive, mask_for, without_empty_rows


def build_joint_attention_inputs(
    prefix_embs: torch.Tensor, suffix_len: int, attention_mask: torch.Tensor | None = None, causal: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mask, positions and padding of one joint pass, as published.

    Args:
        prefix_embs: (batch, prefix length, hidden_size); its dtype is the mask's.
        attention_mask: (batch, prefix length), 0 on padding, anywhere; `None`: no padding.
        causal: the prefix sees only what came before.

    Returns:
        The additive mask (batch, 1, length, length), position ids (batch, length) and the padding (batch, prefix
        length) as bool, true on tokens; length is that of prefix and suffix together. Padding sees nothing and is not
        seen.
    """
    real = prefix_padding(prefix_embs, attention_mask)
    allowed, positions = joint_visibility(real, suffix_len, causal)
    return additive(allowed, prefix_embs.dtype), positions, real


def joint_visibility(real: torch.Tensor, suffix_len: int, causal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Who sees whom, (batch, length, length) bool, and position ids (batch, length); real: (batch, prefix) bool."""
    every = torch.cat([real, real.new_ones(real.shape[0], suffix_len)], dim=1)
    place = torch.arange(every.shape[1], device=real.device)
    block = (place >= real.shape[1]).long()
    visible = block[None, :] <= block[:, None]
    if causal:
        visible = visible & ((block[:, None] == 1) | (place[None, :] <= place[:, None]))
    return visible & every[:, None, :] & every[:, :, None], every.long().cumsum(dim=1) - 1


def prefix_mask(
    real: torch.Tensor, causal: bool, dtype: torch.dtype, implementation: str | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mask (batch, 1, length, length) of a prefix alone, in which padding sees itself, and its position ids."""
    allowed, positions = joint_visibility(real, 0, causal)
    return mask_for(implementation, without_empty_rows(allowed), dtype), positions.clamp(min=0)


def suffix_mask(real: torch.Tensor, suffix_len: int, dtype: torch.dtype, implementation: str | None) -> torch.Tensor:
    """The rows of the joint mask that belong to the suffix: (batch, 1, suffix length, length)."""
    every = torch.cat([real, real.new_ones(real.shape[0], suffix_len)], dim=1)
    return mask_for(implementation, every[:, None, :].expand(-1, suffix_len, -1), dtype)


def prefix_padding(prefix_embs: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """(batch, prefix length) bool, true on tokens.

    Raises:
        InputError: the mask has another shape.
    """
    shape = prefix_embs.shape[:2]
    if attention_mask is None:
        return torch.ones(shape, dtype=torch.bool, device=prefix_embs.device)
    if attention_mask.shape != shape:
        raise InputError(f"attention_mask has shape {tuple(attention_mask.shape)}; the prefix is {tuple(shape)}.")
    return attention_mask.to(prefix_embs.device) != 0
