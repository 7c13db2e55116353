"""Qwen3-VL's vision tower over images whose sizes the host knows: one piece, in which nothing is asked.

transformers' own forward reads the grid of patches from the device, several times. What follows from the grid alone
(where each patch is, which learned positions it lies between) is made here once for each grid, on the host; the tower's
modules do the rest. Images are apart from each other: those of one size attend side by side, in one product.
(arXiv 2511.21631; the tower is `Qwen3VLVisionModel` of transformers.)
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionBlock, Qwen3VLVisionModel

from ..attention import attend
from ..decoder_layer_pass import is_called_as_it_is

KEPT_GRIDS = 4  # a robot or a car has one, a benchmark of several models a few

Grid = tuple[tuple[int, int, int], ...]  # frames, rows and columns of patches of each image


class Images(NamedTuple):
    """What the vision tower makes of all images of a batch, image by image.

    Attributes:
        tokens: (image tokens, hidden_size), in the place of the embeddings of image tokens.
        deepstack: one more of that shape for each of the first layers, behind which it is added.
    """

    tokens: torch.Tensor
    deepstack: list[torch.Tensor]


class PatchPlaces(NamedTuple):
    """What follows from a grid.

    Attributes:
        places: (patches, 2), row and column of each patch in its image.
        neighbours, shares: (patches, 4), the learned positions that a patch lies between, and the share of each.
        grid: (images, 3), the grid itself.
    """

    places: torch.LongTensor
    neighbours: torch.LongTensor
    shares: torch.Tensor
    grid: torch.LongTensor


def grid_on_host(image_grid_thw: torch.LongTensor) -> Grid:
    """The grid, which lies on the CPU, as numbers."""
    return tuple(tuple(row) for row in image_grid_thw.numpy().tolist())


@functools.lru_cache(maxsize=KEPT_GRIDS)
def patch_places(grid: Grid, merge: int, side: int, device: torch.device) -> PatchPlaces:
    """The places of all patches of a grid, in the order in which the processor lays them: blocks of `merge` x `merge`.

    side: learned positions on a side of their square, whose corners are those of every image.
    """
    with torch.inference_mode(False):
        frames = [frame_places(rows, columns, merge, side) for _, rows, columns in grid]
        repeated = [frame for frame, (count, _, _) in zip(frames, grid, strict=True) for _ in range(count)]
        whole = [torch.cat(parts) for parts in zip(*repeated, strict=True)] + [torch.tensor(grid)]
        return PatchPlaces(*(each.to(device) for each in whole))


def frame_places(rows: int, columns: int, merge: int, side: int) -> list[torch.Tensor]:
    """Places, neighbours and shares of one frame."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    upper, lower, down = between(rows, side)
    left, right, along = between(columns, side)
    corners = [(first, second) for first in (upper, lower) for second in (left, right)]
    shares = [(one, other) for one in (1 - down, down) for other in (1 - along, along)]
    neighbours = torch.stack([first[:, None] * side + second[None] for first, second in corners], dim=-1)
    shares = torch.stack([one[:, None] * other[None] for one, other in shares], dim=-1)
    whole = torch.stack([row, column], dim=-1), neighbours, shares
    return [in_blocks(each, merge) for each in whole]


def between(count: int, side: int) -> tuple[torch.LongTensor, torch.LongTensor, torch.Tensor]:
    """For `count` places spread evenly over `side` learned ones: those before and behind, and how far it is along."""
    exact = torch.linspace(0, side - 1, count, dtype=torch.float32)
    before = exact.long()
    return before, (before + 1).clamp(max=side - 1), exact - before


def in_blocks(values: torch.Tensor, merge: int) -> torch.Tensor:
    """(rows, columns, size) -> (rows * columns, size), block by block."""
    rows, columns, size = values.shape
    blocks = values.view(rows // merge, merge, columns // merge, merge, size)
    return blocks.transpose(1, 2).reshape(-1, size)


def can_encode(tower: nn.Module) -> bool:
    """Whether `encode_images` is no more than a call of the tower: it is the stock one, nobody watches or wraps it or
    its blocks, and it does not train. Its linear layers are called as they are, with their own hooks or LoRA."""
    blocks = [module for block in tower.blocks for module in (block, block.attn, block.mlp)]
    known = all(type(block) is Qwen3VLVisionBlock for block in tower.blocks)
    is_stock = type(tower) is Qwen3VLVisionModel and known and not tower.training
    return is_stock and all(is_called_as_it_is(module) for module in (tower, tower.rotary_pos_emb, *blocks))


def encode_images(tower: nn.Module, pixel_values: torch.Tensor, places: PatchPlaces, grid: Grid) -> Images:
    """The tower over patches (patches, values) of images of this grid."""
    states = tower.patch_embed(pixel_values)
    learned = tower.pos_embed(places.neighbours) * places.shares.unsqueeze(-1)
    states = states + learned.sum(dim=1).to(states.dtype)
    cosine, sine = rotary_of(tower, places.places)
    lengths = [rows * columns for frames, rows, columns in grid for _ in range(frames)]
    deepstack = []
    for index, block in enumerate(tower.blocks):
        states = states + attended(block.attn, block.norm1(states), cosine, sine, lengths)
        states = states + block.mlp(block.norm2(states))
        if index in tower.deepstack_visual_indexes:
            merger = tower.deepstack_merger_list[tower.deepstack_visual_indexes.index(index)]
            deepstack.append(merger(states))
    return Images(tower.merger(states), deepstack)


def rotary_of(tower: nn.Module, places: torch.LongTensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (patches, 1, head_dim), float32: rows in one quarter of a head, columns in the next, twice."""
    angles = places.unsqueeze(-1).float() * tower.rotary_pos_emb.inv_freq.float()
    angles = angles.flatten(1).repeat(1, 2).unsqueeze(1)
    return angles.cos(), angles.sin()


def attended(
    attention: nn.Module, states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, lengths: Sequence[int]
) -> torch.Tensor:
    """The tower's attention over patches (patches, hidden_size) of frames of these lengths, apart from each other."""
    query, key, value = attention.qkv(states).unflatten(-1, (3, attention.num_heads, -1)).unbind(1)
    query, key = (rotated(each, cosine, sine) for each in (query, key))
    mix = functools.partial(attend, implementation=attention.config._attn_implementation)
    return attention.proj(by_length(mix, (query, key, value), lengths).flatten(1))


def rotated(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """heads: (patches, heads, head_dim), turned by their places in float32."""
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return torch.addcmul(heads.float() * cosine, turned, sine).to(heads.dtype)


def by_length(mix: Callable[..., torch.Tensor], heads: Sequence[torch.Tensor], lengths: Sequence[int]) -> torch.Tensor:
    """`mix` of query, key and value (patches, heads, head_dim) in each frame; neighbours of one length are one call."""
    stretches: list[list[int]] = []
    for length in lengths:
        if stretches and stretches[-1][0] == length:
            stretches[-1][1] += 1
        else:
            stretches.append([length, 1])
    sizes = [length * count for length, count in stretches]
    parts = zip(stretches, *(each.split(sizes) for each in heads), strict=True)
    found = [
        mix(*(each.unflatten(0, (count, length)).transpose(1, 2) for each in part)).transpose(1, 2).flatten(0, 1)
        for (length, count), *part in parts
    ]
    return found[0] if len(found) == 1 else torch.cat(found)
