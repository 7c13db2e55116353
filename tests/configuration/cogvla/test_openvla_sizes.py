"""What the tensors of an OpenVLA tell: sizes where config.json is silent or says something else, and parts."""

import pytest

from vlahub.configuration.cogvla.openvla_base import is_plain
from vlahub.configuration.cogvla.openvla_names import AGGREGATION, parts_found
from vlahub.configuration.cogvla.openvla_sizes import TensorShapes, image_size

TOWER = "vision_backbone.featurizer."
SHAPES = TensorShapes({TOWER + "patch_embed.proj.weight": (64, 3, 14, 14), TOWER + "pos_embed": (1, 256, 64)})


@pytest.mark.parametrize(("said", "found"), [(None, 224), (224, 224), (230, 230), (237, 237), (238, 224), (223, 224)])
def test_config_json_decides_about_pixels_beside_the_last_patch_alone(said, found):
    """16 x 16 patches of 14 pixels."""
    assert image_size(SHAPES, "featurizer", said) == found


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (TOWER + "blocks.0.film.scale.weight", (64, 32)),
        (AGGREGATION, (1, 5, 64)),
        ("moe_aggregator.router.0.weight", (16, 32)),
        ("language_model.model.layers.0.router.router.weight", (1, 32)),
        ("action_head.model.fc2.weight", (7, 32)),
        ("proprio_projector.fc1.weight", (32, 8)),
    ],
)
def test_each_part_that_openvla_has_not_makes_it_another_model(name, shape):
    """Whose views, chunks and normalisation no file says."""
    assert is_plain(known(SHAPES), {}) and not is_plain(known({**SHAPES, name: shape}), {})


def known(shapes):
    return {name: value for name, value in parts_found(shapes).items() if value is not None}


@pytest.mark.parametrize("has_film", [True, False])
def test_the_tensors_tell_whether_the_instruction_modulates_what_pruning_scores(has_film):
    router = "language_model.model.layers.0.router."
    film = {router + "scale.weight": (64, 64)} if has_film else {}
    found = parts_found({**SHAPES, router + "router.weight": (1, 64), **film})
    assert found["use_lfp"] and found["lfp_enable_film"] == has_film
