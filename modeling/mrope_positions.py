"""Positions of text and image tokens in a Qwen-VL or a GLM-V (arXiv 2409.12191, section 2.1).

Text counts on; the tokens of an image have the place where it begins plus their row and column, and what follows goes
on behind the larger of its sides. All images of all rows are placed at once, by cumulative sums where the tokens are:
transformers' own function goes through them one by one on the host.
"""

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

    The published models were made with transformers 4.57, which puts padding there; 5.x says 0.

    vlm: a VLM of transformers with its language model's head; image_grid_thw: (images, 3), patches of each image, of
        one frame.

    Raises:
        InputError: there are more or fewer image tokens than the images have; looked at where both lie on a CPU.
    """
    is_image, merge = input_ids == vlm.config.image_token_id, vlm.config.vision_config.spatial_merge_size
    real = attention_mask != 0
    if not torch.compiler.is_compiling() and input_ids.device.type == "cpu":
        check_image_tokens(is_image, image_grid_thw, merge)
    if image_grid_thw is None:
        places = (real.long().cumsum(dim=1) - 1).masked_fill(~real, 1)
        return places[None].expand(3, -1, -1)
    return placed(is_image & real, real, image_grid_thw.to(input_ids.device), merge)


def placed(
    is_image: torch.Tensor, real: torch.Tensor, image_grid_thw: torch.LongTensor, merge: int
) -> torch.LongTensor:
    """(3, batch, length); is_image, real: (batch, length) bool; merge: patches a token has on a side."""
    height, width = image_grid_thw[:, 1] // merge, image_grid_thw[:, 2] // merge
    ends = (height * width).cumsum(dim=0)  # image tokens of all rows, one behind the other
    number = is_image.flatten().long().cumsum(dim=0) - 1
    image = torch.searchsorted(ends, number, right=True).clamp(max=len(ends) - 1)
    within = (number - (ends - height * width)[image]).view_as(is_image)
    size = (height * width)[image].view_as(is_image)
    side = torch.maximum(height, width)[image].view_as(is_image)
    columns = width[image].view_as(is_image).clamp(min=1)
    steps = torch.where(is_image, torch.where(within == size - 1, side, 0), real.long())
    start = steps.cumsum(dim=1) - steps
    inside = torch.stack([torch.zeros_like(within), within // columns, within % columns])
    return torch.where(real, start + inside * is_image, 1)


def check_image_tokens(is_image: torch.Tensor, image_grid_thw: torch.LongTensor | None, merge: int) -> None:
    """Raises InputError where more or fewer tokens are images (..., bool) than the grids have; both lie on a CPU."""
    found = int(is_image.numpy().sum())
    wanted = 0 if image_grid_thw is None else int(image_grid_thw.numpy().prod(axis=-1).sum()) // merge**2
    if found != wanted:
        raise InputError(f"input_ids has {found} image tokens, but the images of image_grid_thw have {wanted}.")
