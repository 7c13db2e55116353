"""Sizes of images that vision towers of transformers read as numbers: a device is asked for each of them once.

They decide how many features there are, so that no prediction can begin without them.
"""

from collections.abc import Mapping

import torch
from torch import nn

from .language_masks import TAKES_MASKS

try:
    from transformers import vision_utils
except ImportError:  # before 5.9
    vision_utils = None

SIZES = ("image_sizes", "spatial_shapes", "batch_num_images")  # read in loops, and by nothing that runs on a device


def sizes_on_host(images: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Images, by the names of a tower's arguments, with their sizes on the CPU."""
    return {name: value.cpu() if name in SIZES else value for name, value in images.items()}


def grid_arguments(
    tower: nn.Module, images: Mapping[str, torch.Tensor], grid: torch.LongTensor
) -> dict[str, torch.Tensor]:
    """Images with their grid (images, 3) on the CPU, and what the tower of a Qwen2-VL or Qwen2.5-VL makes of it.

    transformers 5.9 takes these things ready-made, and else asks a device for the grid at each of them and for the
    lengths of sequences in each layer. They are made by its own functions; lengths stay on the CPU, where attention
    splits by them. Before 5.9 the tower takes the grid alone, and asks.
    """
    if vision_utils is None or tower.config._attn_implementation not in TAKES_MASKS:
        return dict(images)
    device, merge = images["pixel_values"].device, tower.spatial_merge_size
    found = {"position_ids": vision_utils.get_vision_position_ids(grid, merge).to(device)}
    found["cu_seqlens"] = vision_utils.get_vision_cu_seqlens(grid)
    if hasattr(tower, "window_size"):
        index, lengths = vision_utils.get_vision_window_index(grid, merge, tower.window_size, tower.patch_size)
        found |= {"window_index": index.to(device), "cu_window_seqlens": lengths}
    return {**images, "image_grid_thw": grid, **found}
