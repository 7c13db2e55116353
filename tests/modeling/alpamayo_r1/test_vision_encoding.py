"""The vision tower over a grid that the host knows: transformers' own numbers, without its questions."""

import pytest
import torch
from host_waits import HostWaits
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from vlahub.modeling.alpamayo_r1.prompt_reading import stock_images
from vlahub.modeling.alpamayo_r1.vision_encoding import (
    can_encode,
    encode_images,
    grid_on_host,
    patch_places,
    rotated,
)

GRIDS = [
    [[1, 4, 6]],
    [[1, 6, 4], [1, 6, 4], [1, 6, 4]],
    [[1, 4, 4], [1, 2, 8], [1, 8, 2], [1, 4, 4]],
    [[2, 4, 6], [1, 10, 2]],
    [[1, 2, 2]],
]


def make_vlm(implementation, merge, side, deepstack=(0, 2)):
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "depth": 3, "out_hidden_size": 24}
    vision |= {
        "deepstack_visual_indexes": list(deepstack),
        "num_position_embeddings": side**2,
        "spatial_merge_size": merge,
    }
    text = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    text |= {"intermediate_size": 16, "vocab_size": 96, "head_dim": 12, "rope_scaling": {"mrope_section": [2, 2, 2]}}
    text["rope_scaling"]["rope_type"] = "default"
    torch.manual_seed(0)
    config = Qwen3VLConfig(vision_config=vision, text_config=text)
    model = Qwen3VLForConditionalGeneration._from_config(config, attn_implementation=implementation)
    return model.eval()


@pytest.mark.parametrize("grid", GRIDS, ids=range(len(GRIDS)))
@pytest.mark.parametrize(("implementation", "merge", "side"), [("sdpa", 2, 5), ("eager", 2, 7), ("sdpa", 1, 4)])
@torch.no_grad()
def test_images_are_encoded_as_transformers_does(grid, implementation, merge, side):
    vlm, grid = make_vlm(implementation, merge, side), torch.tensor(grid)
    patches = torch.randn(int(grid.prod(dim=1).sum()), 3 * 2 * 16 * 16)
    wanted = stock_images(vlm, patches, grid)
    sizes = grid_on_host(grid)
    places = patch_places(sizes, merge, side, patches.device)
    with HostWaits() as waits:
        found = encode_images(vlm.model.visual, patches, places, sizes)
    torch.testing.assert_close(found.tokens, wanted.tokens)
    assert len(found.deepstack) == len(wanted.deepstack) == 2
    for one, other in zip(found.deepstack, wanted.deepstack, strict=True):
        torch.testing.assert_close(one, other)
    assert not waits.found


@torch.no_grad()
def test_the_merger_of_a_layer_is_that_of_its_place_in_the_config():
    vlm, grid = make_vlm("sdpa", 2, 5, deepstack=(2, 0)), torch.tensor([[1, 4, 6]])
    patches = torch.randn(24, 3 * 2 * 16 * 16)
    sizes = grid_on_host(grid)
    found = encode_images(vlm.model.visual, patches, patch_places(sizes, 2, 5, patches.device), sizes)
    for one, other in zip(found.deepstack, stock_images(vlm, patches, grid).deepstack, strict=True):
        torch.testing.assert_close(one, other)


def test_patches_of_low_precision_are_turned_in_float32():
    torch.manual_seed(0)
    heads, angles = torch.randn(64, 2, 8).bfloat16(), torch.randn(64, 1, 4).repeat(1, 1, 2)
    found = rotated(heads, angles.cos(), angles.sin())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, rotated(heads.float(), angles.cos(), angles.sin()).bfloat16())


def test_a_tower_with_hooks_on_what_would_not_be_called_is_called_itself():
    tower = make_vlm("sdpa", 2, 5).model.visual
    tower.blocks[1].attn.qkv.register_forward_hook(print)
    assert can_encode(tower)
    block = tower.blocks[1]
    for part in (tower, tower.rotary_pos_emb, block, block.attn, block.mlp):
        handle = part.register_forward_pre_hook(print)
        assert not can_encode(tower)
        handle.remove()
