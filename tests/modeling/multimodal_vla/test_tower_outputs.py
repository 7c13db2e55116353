"""What is read of a vision tower: its tokens, whatever form they come in, of a tower that reads pixels alone."""

from types import SimpleNamespace

import pytest
import torch

from vlahub.errors import ConfigError
from vlahub.modeling.multimodal_vla import tower_outputs
from vlahub.modeling.multimodal_vla.tower_outputs import check_arguments_of_tower, tokens_of


def config(kind, **fields):
    return type("Config", (SimpleNamespace,), {"model_type": kind})(**fields)


def test_places_of_a_map_are_tokens_row_by_row():
    features = torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2)
    tokens = tokens_of(features, config("resnet", hidden_sizes=[5, 3]))
    assert torch.equal(tokens[:, 1], features[:, :, 0, 1]) and torch.equal(tokens[:, 2], features[:, :, 1, 0])
    assert tokens_of(tokens, config("vit", hidden_size=3)) is tokens


TOWERS = {
    "vit": lambda self, pixel_values, bool_masked_pos=None, **kwargs: None,
    "clip_vision_model": lambda self, pixel_values=None, *args, interpolate=False: None,
    "siglip2_vision_model": lambda self, pixel_values, pixel_attention_mask, spatial_shapes: None,
    "gpt2": lambda self, input_ids=None, pixel_values=None: None,
    "masked": lambda self, pixel_values, spatial_shapes: None,
    "counted": lambda self, pixel_values, count, times=1: None,
}
REFUSED = {
    "gpt2": r"'gpt2' cannot be the vision tower of a composed VLA: it reads input_ids, and",
    "masked": "it reads pixel_values, spatial_shapes, and a tower is given pixel_values alone",
    "counted": "it reads pixel_values, count, and a tower is given pixel_values alone",
    "nothing": "second.model_type='nothing' is no model of AutoModel",
}


@pytest.fixture
def known(monkeypatch):
    """Configs of towers whose forward is one of those."""
    configs = {kind: config(kind) for kind in {*TOWERS, *REFUSED}}
    towers = {type(configs[kind]): type("Tower", (), {"forward": forward}) for kind, forward in TOWERS.items()}
    monkeypatch.setattr(tower_outputs, "MODEL_MAPPING", towers)
    return configs


@pytest.mark.parametrize("kind", sorted({*TOWERS} - {*REFUSED}))
def test_a_tower_that_reads_pixels_alone_is_taken_also_out_of_two(kind, known):
    check_arguments_of_tower("vision_config", known[kind])
    check_arguments_of_tower("vision_config", config("clip", vision_config=known[kind]))


@pytest.mark.parametrize("kind", REFUSED)
def test_a_tower_that_needs_more_is_refused_with_what_it_reads(kind, known):
    with pytest.raises(ConfigError, match=REFUSED[kind]):
        check_arguments_of_tower("second", known[kind])
