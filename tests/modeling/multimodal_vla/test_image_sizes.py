"""Sizes of images that towers read as numbers are on the host, and what follows from them is handed over ready-made."""

from types import SimpleNamespace

import pytest
import torch

from vlahub.modeling.multimodal_vla import image_sizes
from vlahub.modeling.multimodal_vla.image_sizes import SIZES, grid_arguments, sizes_on_host

GRID = torch.tensor([[1, 4, 6]])


class OnDevice(torch.Tensor):
    """Knows that it was fetched."""

    def cpu(self):
        return torch.zeros(1)


def test_sizes_are_fetched_and_pixels_are_not():
    images = {name: torch.ones(1).as_subclass(OnDevice) for name in ("pixel_values", "pixel_attention_mask", *SIZES)}
    found = sizes_on_host(images)
    assert {name for name, value in found.items() if not value.any()} == {
        *("image_sizes", "spatial_shapes", "batch_num_images"),
    }
    assert found.keys() == images.keys() and found["pixel_values"] is images["pixel_values"]


@pytest.fixture
def tower(monkeypatch):
    """A tower of 5.9, whose functions say what they were asked."""
    functions = {
        "get_vision_position_ids": lambda grid, merge: torch.tensor([10 * merge]),
        "get_vision_cu_seqlens": lambda grid: torch.tensor([grid.prod()]),
        "get_vision_window_index": lambda grid, *sizes: (torch.tensor(sizes), torch.tensor([grid.sum()])),
    }
    monkeypatch.setattr(image_sizes, "vision_utils", SimpleNamespace(**functions))
    config = SimpleNamespace(_attn_implementation=image_sizes.TAKES_MASKS[0])
    return SimpleNamespace(config=config, spatial_merge_size=2, patch_size=7)


def test_what_follows_from_a_grid_is_made_once(tower):
    images = {"pixel_values": torch.ones(2), "image_grid_thw": None}
    found = grid_arguments(tower, images, GRID)
    assert found["image_grid_thw"] is GRID and found["pixel_values"] is images["pixel_values"]
    assert found["position_ids"].tolist() == [20] and found["cu_seqlens"].tolist() == [24]
    assert "window_index" not in found and images["image_grid_thw"] is None
    tower.window_size = 5
    found = grid_arguments(tower, images, GRID)
    assert found["window_index"].tolist() == [2, 5, 7] and found["cu_window_seqlens"].tolist() == [11]


def test_a_tower_that_asks_by_itself_gets_the_grid_alone(tower, monkeypatch):
    images = {"pixel_values": torch.ones(2), "image_grid_thw": GRID}
    tower.config._attn_implementation = "flash_attention_2"
    assert grid_arguments(tower, images, GRID) == images
    tower.config._attn_implementation = image_sizes.TAKES_MASKS[0]
    monkeypatch.setattr(image_sizes, "vision_utils", None)  # before 5.9
    assert grid_arguments(tower, images, GRID) == images
