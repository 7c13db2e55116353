"""Positions of text and image tokens in a Qwen-VL, on both lines of transformers (arXiv 2409.12191, section 2.1)."""

import inspect

import torch
from torch import nn

from ..configuration.vla_errors import InputError


def rope_positions(
    vlm: nn.Module,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor,
    image_grid_thw: torch.LongTensor | None,
) -> torch.LongTensor:
    """(3, batch, length): temporal, vertical and horizontal position of every token, 1 on padding.

    The published models were made with 4.57, which puts padding there; 5.x says 0.

    vlm: a Qwen-VL of transformers with its language model's head.

    Raises:
        InputError: there are more or fewer image tokens than the images have.
    """
    found = int((input_ids == vlm.config.image_token_id).sum())
    merged = vlm.config.vision_config.spatial_merge_size**2
    wanted = 0 if image_grid_thw is None else int(image_grid_thw.prod(dim=-1).sum()) // merged
    if found != wanted:
        raise InputError(f"input_ids has {found} image tokens, but the images of image_grid_thw have {wanted}.")
    arguments = {"image_grid_thw": image_grid_thw, "attention_mask": attention_mask}
    if "mm_token_type_ids" in inspect.signature(vlm.model.get_rope_index).parameters:  # 5.x
        arguments["mm_token_type_ids"] = (input_ids == vlm.config.image_token_id).int()
    return vlm.model.get_rope_index(input_ids, **arguments)[0].masked_fill(attention_mask == 0, 1)
