"""Sizes of an OpenVLA that its tensors tell, where config.json is silent or says something else."""

import pytest

from vlahub.configuration.cogvla.openvla_sizes import TensorShapes, image_size

TOWER = "vision_backbone.featurizer."
SHAPES = TensorShapes({TOWER + "patch_embed.proj.weight": (64, 3, 14, 14), TOWER + "pos_embed": (1, 256, 64)})


@pytest.mark.parametrize(("said", "found"), [(None, 224), (224, 224), (230, 230), (237, 237), (238, 224), (223, 224)])
def test_config_json_decides_about_pixels_beside_the_last_patch_alone(said, found):
    """16 x 16 patches of 14 pixels."""
    assert image_size(SHAPES, "featurizer", said) == found
