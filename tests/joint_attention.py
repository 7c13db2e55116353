"""The published mask of one joint pass (openpi's `make_att_2d_masks`), which two passes are compared with."""

import torch

from vlahub.modeling.masking import additive, check_mask


def build_joint_attention_inputs(
    prefix_embs: torch.Tensor, suffix_len: int, attention_mask: torch.Tensor | None = None, causal: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mask, positions and padding of one joint pass, as published: the suffix sees all, and the prefix not the suffix.

    Args:
        prefix_embs: (batch, prefix length, hidden_size); its dtype is the mask's.
        attention_mask: (batch, prefix length), 0 on padding, anywhere; `None`: no padding.
        causal: the prefix sees only what came before.

    Returns:
        The additive mask (batch, 1, length, length), position ids (batch, length) and the padding (batch, prefix
        length) as bool, true on tokens; length is that of prefix and suffix together. Padding sees nothing and is not
        seen.
    """
    real = check_mask(prefix_embs, attention_mask)
    every = torch.cat([real, real.new_ones(real.shape[0], suffix_len)], dim=1)
    place = torch.arange(every.shape[1], device=real.device)
    block = (place >= real.shape[1]).long()
    visible = block[None, :] <= block[:, None]
    if causal:
        visible = visible & ((block[:, None] == 1) | (place[None, :] <= place[:, None]))
    allowed = visible & every[:, None, :] & every[:, :, None]
    return additive(allowed, prefix_embs.dtype), every.long().cumsum(dim=1) - 1, real
