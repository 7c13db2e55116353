"""Tables of CogVLA that nothing else contradicts: upstream's constants, and the files in which tensors are found."""

import pytest

from vlahub.conversion.cogvla.card import dimension_names
from vlahub.conversion.cogvla.names import SIDE_FILES, expected_in
from vlahub.conversion.cogvla.options import IMAGE_RESIZES, PLATFORMS
from vlahub.processing.cogvla import image_processing_cogvla


def test_platforms_are_those_of_the_published_scripts():
    """prismatic/vla/constants.py of openvla-oft, and of CogVLA, which has the last two beside them."""
    assert {name: tuple(found.values()) for name, found in PLATFORMS.items()} == {
        "libero": (8, 7, "bounds_q99"),
        "aloha": (25, 14, "bounds"),
        "bridge": (5, 7, "bounds_q99"),
        "calvin": (8, 7, "bounds_q99"),
        "vlabench": (8, 7, "bounds_q99"),
    }
    assert {tuple(found) for found in PLATFORMS.values()} == {("num_action_chunks", "action_dim", "normalization_type")}


def test_ways_to_resize_are_those_of_the_image_processor():
    assert IMAGE_RESIZES == image_processing_cogvla.IMAGE_RESIZES


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("vision_backbone.featurizer.blocks.0.film.scale.weight", "vision_backbone--*_checkpoint.pt"),
        ("vision_backbone.featurizer.aggregation.tokens", "vision_backbone--*_checkpoint.pt"),
        ("moe_aggregator.router.0.weight", "non_lora_trainables--*_checkpoint.pt"),
        ("language_model.model.layers.3.router.router.0.weight", "non_lora_trainables--*_checkpoint.pt"),
        ("action_head.model.fc2.weight", "action_head--*_checkpoint.pt"),
        ("proprio_projector.fc1.weight", "proprio_projector--*_checkpoint.pt"),
        ("noisy_action_projector.fc1.weight", "noisy_action_projector--*_checkpoint.pt"),
        ("language_model.model.layers.3.mlp.up_proj.weight", "the base model's weights"),
        ("projector.fc1.weight", "the base model's weights"),
    ],
)
def test_a_missing_tensor_is_looked_for_in_the_file_that_training_writes_it_to(target, file):
    assert expected_in(target) == file
    assert file.partition("--")[0] in {*SIDE_FILES, "the base model's weights"}


def names(*known):
    return dimension_names({"settings": {str(i): {"known": words} for i, words in enumerate(known)}})


def test_dimensions_have_the_names_of_the_platform_that_a_conversion_was_told():
    arm = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
    for platform in ("libero", "bridge", "calvin"):
        assert names("read (tensors)", f"given (--platform {platform})") == arm
    both = names("given (--platform aloha)")
    assert both[:2] == ("left_waist", "left_shoulder") and both[6:8] == ("left_gripper", "right_waist")
    assert len(both) == PLATFORMS["aloha"]["action_dim"] == len(set(both))
    assert names("given (--platform vlabench)") == names("given (--action-dim)") == ()
