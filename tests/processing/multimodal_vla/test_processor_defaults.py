"""Defaults of a composed VLA's processor by model type: pixels, sizes, image tokens and prompts."""

from types import SimpleNamespace

import pytest
from tiny_towers import TOWERS

from vlahub.errors import ConfigError
from vlahub.processing.multimodal_vla.processor_defaults import (
    CLIP,
    HALF,
    IMAGENET,
    MEAN_AND_STD,
    image_processor_of,
    image_seq_length_of,
    image_token_of,
    size_of_pictures,
    tower_type,
    vlm_prompt,
)

TOKENS = {7: "<image>", 8: "<other>"}


def part(kind, **fields):
    return type("Config", (SimpleNamespace,), {"model_type": kind})(**fields)


def tokenizer(bos_token=None):
    return SimpleNamespace(bos_token=bos_token, convert_ids_to_tokens=TOKENS.get)


def config(kind="llava", tower="clip_vision_model", image_size=28, **fields):
    known = {"image_token_id": None, "image_token_index": 7, "num_query_tokens": 3}
    known |= {"vision_feature_select_strategy": "default", "vision_config": part(tower, patch_size=14)}
    return SimpleNamespace(vlm_config=part(kind, **known | fields), image_size=image_size, vision_config=None)


def test_pixels_are_in_the_statistics_that_a_tower_was_trained_with():
    kinds = {
        "beit bit data2vec-vision ijepa siglip siglip2 vit qwen3_vl qwen3_vl_moe": HALF,
        "blip blip_2 clip qwen2_vl qwen2_5_vl": CLIP,
        "deit vit_msn dinov2 dinov2_with_registers dinov3_vit dinov3_convnext convnext convnextv2 focalnet": IMAGENET,
        "hiera poolformer pvt pvt_v2 regnet resnet segformer swin swinv2 vitdet": IMAGENET,
    }
    assert {kind: found for names, found in kinds.items() for kind in names.split()} == MEAN_AND_STD
    assert HALF == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert list(CLIP[0]) == [0.48145466, 0.4578275, 0.40821073] and list(IMAGENET[1]) == [0.229, 0.224, 0.225]
    assert tower_type(part("clip_vision_model")) == "clip" and tower_type(part("dinov2")) == "dinov2"


@pytest.mark.parametrize(
    ("tower", "found"), [("siglip_vision_model", HALF), ("clip_vision_model", CLIP), ("dinov2", IMAGENET)]
)
def test_an_image_processor_is_that_of_the_tower_with_what_is_given(tower, found):
    composed = SimpleNamespace(vlm_config=None, vision_config=part(tower), image_size=[28, 56])
    images = image_processor_of(composed, overrides := {"num_views": 2, "prompt_template": "a"})
    assert (tuple(images.image_mean), tuple(images.image_std)) == tuple(map(tuple, found))
    assert images.size == {"height": 28, "width": 56} and images.num_views == 2
    assert overrides == {"prompt_template": "a"}
    composed.second_vision_config = part("clip_vision_model")
    images = image_processor_of(composed, {})
    second = tuple(images.second_image_mean), tuple(images.second_image_std)
    assert second == tuple(map(tuple, CLIP)) and tuple(images.image_mean) == tuple(found[0])


def test_the_statistics_of_every_tower_of_the_tests_are_known():
    assert {tower_type(part(kind)) for kind in TOWERS} <= MEAN_AND_STD.keys()


@pytest.mark.parametrize("names", [("image_mean", "image_std"), ("second_image_mean", "second_image_std")])
def test_a_tower_of_a_kind_whose_statistics_are_not_known_wants_them(names):
    kinds = ("dpt", "vit") if names[0] == "image_mean" else ("vit", "dpt")
    first, second = map(part, kinds)
    composed = SimpleNamespace(vlm_config=None, vision_config=first, second_vision_config=second, image_size=28)
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, 3.0]
    for given in ({}, {names[0]: mean}, {names[1]: std}):
        with pytest.raises(ConfigError, match=f"of the kind 'dpt' .*; pass {names[0]} and {names[1]}"):
            image_processor_of(composed, given)
    images = image_processor_of(composed, {names[0]: mean, names[1]: std})
    assert [getattr(images, name) for name in names] == [mean, std]
    other = [name for name in ("image_mean", "second_image_mean") if name not in names]
    assert [tuple(getattr(images, name)) for name in other] == [HALF[0]]


def test_patches_of_qwen_are_those_of_its_tower():
    tower = part("qwen2_5_vl", patch_size=12, temporal_patch_size=3, spatial_merge_size=4)
    images = image_processor_of(SimpleNamespace(vlm_config=part("qwen2_5_vl", vision_config=tower)), {})
    assert (images.patch_size, images.temporal_patch_size, images.merge_size) == (12, 3, 4)
    assert (images.min_pixels, images.max_pixels) == (56 * 56, 28 * 28 * 1280)
    assert tuple(images.image_mean) == tuple(CLIP[0])


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(None, (224, 224)), (0, (224, 224)), (56, (56, 56)), ([28, 56], (28, 56)), ((28, 56), (28, 56))],
)
def test_pictures_have_the_size_of_the_tower(size, wanted):
    assert size_of_pictures(size) == {"height": wanted[0], "width": wanted[1]}


@pytest.mark.parametrize("tower", ["clip_vision_model", "vit", "dinov2", "siglip_vision_model"])
@pytest.mark.parametrize("strategy", ["default", "full"])
def test_image_tokens_of_llava_are_the_patches_and_the_class_token_unless_it_is_dropped(tower, strategy):
    tokens = image_seq_length_of(config(tower=tower, vision_feature_select_strategy=strategy))
    assert tokens == 4 + (tower != "siglip_vision_model") - (strategy == "default")


def test_image_tokens_of_others_are_the_patches_or_the_queries():
    assert image_seq_length_of(config("paligemma", image_size=42)) == 9
    assert image_seq_length_of(config("blip-2", image_size=42)) == 3


def test_a_prompt_is_the_published_one_as_far_as_it_is_not_given():
    found = vlm_prompt(config(), tokenizer(), {})
    assert found == {
        "prompt_template": "USER: {images}\n{instruction} ASSISTANT:",
        "image_format": "{image}",
        "add_special_tokens": True,
        "image_token": "<image>",
        "image_seq_length": 4,
    }
    found = vlm_prompt(config("blip-2"), tokenizer("<s>"), {"image_seq_length": 9, "image_token": "<other>"})
    assert found == {
        "prompt_template": "{images}<s>Question: {instruction} Answer:",
        "image_format": "{image}",
        "add_special_tokens": False,
    }
    assert vlm_prompt(config("blip-2"), tokenizer(), {})["prompt_template"].startswith("{images}Question")
    assert "image_seq_length" not in (found := vlm_prompt(config("qwen3_vl"), tokenizer(), {}))
    assert found["image_format"] == "<|vision_start|>{image}<|vision_end|>"


def test_a_vlm_without_a_prompt_needs_one_and_its_number_of_image_tokens():
    for given in ({}, {"prompt_template": "a"}, {"image_seq_length": 4}):
        with pytest.raises(ConfigError, match=r"'tea' has no default prompt; give prompt_template.*image_seq_length"):
            vlm_prompt(config("tea"), tokenizer(), given)
    given = {"prompt_template": "a", "image_seq_length": 4}
    assert vlm_prompt(config("tea"), tokenizer(), given)["image_token"] == "<image>"


@pytest.mark.parametrize("index", [None, 9])
def test_a_tokenizer_without_the_image_token_is_not_the_vlms(index):
    assert image_token_of(config().vlm_config, tokenizer()) == "<image>"
    with pytest.raises(ConfigError, match=f"image_token_id={index}; is it the VLM's"):
        image_token_of(config(image_token_index=index).vlm_config, tokenizer())
