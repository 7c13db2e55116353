"""MultimodalVLAImageProcessor: the published pixel values of each kind of tower, and what is refused."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing.multimodal_vla.image_processing_multimodal_vla import MultimodalVLAImageProcessor

SIZE = {"height": 28, "width": 42}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def noise(height=28, width=28, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def pixels(images, **settings):
    settings = {"size": {"height": 28, "width": 28}, **settings}
    return MultimodalVLAImageProcessor(**settings)(images, return_tensors="np")["pixel_values"]


def published(tower, **settings):
    """The published processor of a tower, of the installed transformers, that works with PIL."""
    name = {"siglip": "Siglip", "clip": "CLIP", "vit": "ViT"}[tower]
    for file, kind in (
        (f"image_processing_pil_{tower}", f"{name}ImageProcessorPil"),
        (f"image_processing_{tower}", f"{name}ImageProcessor"),
    ):
        module = f"transformers.models.{tower}.{file}"
        if importlib.util.find_spec(module):
            return getattr(importlib.import_module(module), kind)(**settings)


@pytest.mark.parametrize(
    ("tower", "options", "settings"),
    [
        ("siglip", {}, {}),
        ("vit", {"resample": 3}, {}),
        ("clip", {"do_center_crop": False}, {"image_mean": MEAN, "image_std": STD}),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(28, 42), (56, 40), (17, 90)])
def test_pixels_are_those_of_the_published_processor(tower, options, settings, height, width):
    images = [Image.fromarray(noise(height, width, seed)) for seed in range(3)]
    expected = published(tower, size=SIZE, **options)(images, return_tensors="np")["pixel_values"]
    found = pixels([images], size=SIZE, **settings)
    assert found.shape == (1, 3, 3, 28, 42) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=2e-6)


def test_each_channel_has_its_own_mean_and_deviation():
    image = noise()
    found = pixels(image, image_mean=[0.0, 0.5, 1.0], image_std=[1.0, 2.0, 4.0])[0, 0]
    expected = (image / 255 - [0.0, 0.5, 1.0]) / [1.0, 2.0, 4.0]
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), rtol=0, atol=1e-6)


def test_the_channels_of_a_second_tower_come_behind_in_its_own_normalisation(tmp_path):
    image, second = noise(), {"second_image_mean": MEAN, "second_image_std": STD}
    first = {"image_mean": [0.0, 0.5, 1.0], "image_std": [1.0, 2.0, 4.0]}
    found = pixels(image, **first, **second)[0, 0]
    np.testing.assert_array_equal(found[:3], pixels(image, **first)[0, 0])
    np.testing.assert_array_equal(found[3:], pixels(image, image_mean=MEAN, image_std=STD)[0, 0])
    MultimodalVLAImageProcessor(**first, **second).save_pretrained(tmp_path)
    again = MultimodalVLAImageProcessor.from_pretrained(tmp_path, second_image_std=[1.0, 2.0, 3.0])
    assert (again.second_image_mean, again.second_image_std) == (MEAN, [1.0, 2.0, 3.0])
    for name in second:
        with pytest.raises(ConfigError, match=r"second_image_.*=None must be three numbers"):
            MultimodalVLAImageProcessor(**{name: second[name]})


def test_every_form_of_an_image_gives_the_same_pixels():
    image = noise(40, 30)
    tensor, expected = torch.from_numpy(image), pixels(image)
    for form in (Image.fromarray(image), tensor, tensor.permute(2, 0, 1), [image], {"primary": image}):
        np.testing.assert_array_equal(pixels(form), expected)


def test_views_and_batches_are_told_apart():
    front, left = noise(seed=1), noise(seed=2)
    both = pixels([front, left])
    assert both.shape == (1, 2, 3, 28, 28)
    assert pixels([front, left], num_views=1).shape == (2, 1, 3, 28, 28)
    np.testing.assert_array_equal(pixels({"wrist": left, "primary": front}), both)
    np.testing.assert_array_equal(pixels([[left, front], [front, left]])[1], both[0])


@pytest.mark.parametrize(
    ("images", "num_views", "message"),
    [
        ([[noise()], [noise()] * 3], None, "sample 1 has 3 images, expected 1, as many as sample 0 has"),
        ([noise()] * 3, 2, "sample 0 has 3 images, expected 2"),
        (noise() / 255, None, "sample 0, image 0: got float64"),
        ([], None, "an empty list"),
        ({"left": noise()}, None, "exactly one of"),
    ],
)
def test_images_of_a_wrong_number_or_form_are_refused(images, num_views, message):
    with pytest.raises(InputError, match=message):
        pixels(images, num_views=num_views)


def test_an_image_option_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"unknown options \['do_resize'\]"):
        MultimodalVLAImageProcessor()(noise(), do_resize=False)


def test_a_saved_image_processor_comes_back_the_same_and_checks_overrides(tmp_path):
    saved = MultimodalVLAImageProcessor(SIZE, np.array(MEAN), tuple(STD), 2)
    saved.save_pretrained(tmp_path)
    views, load = [noise(), noise(14, 56)], MultimodalVLAImageProcessor.from_pretrained
    loaded = load(tmp_path)
    assert loaded.to_dict() == saved.to_dict() and loaded.image_mean == MEAN
    np.testing.assert_array_equal(loaded(views)["pixel_values"], saved(views)["pixel_values"])
    larger = load(tmp_path, size={"height": 56, "width": 56}, num_views=1)
    assert larger(noise())["pixel_values"].shape == (1, 1, 3, 56, 56)
    with pytest.raises(ConfigError, match="image_std="):
        load(tmp_path, image_std=[1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", {"height": 224}),
        ("size", {}),
        ("size", 224),
        ("size", {"height": 224.0, "width": 224}),
        ("image_mean", [0.5, 0.5]),
        ("image_mean", 0.5),
        ("image_mean", None),
        ("image_mean", [0.5, float("nan"), 0.5]),
        ("image_std", ["a", "b", "c"]),
        ("image_std", [0.5, -0.5, 0.5]),
        ("num_views", 0),
    ],
)
def test_an_image_setting_of_the_wrong_form_is_named(name, value):
    with pytest.raises(ConfigError, match=name):
        MultimodalVLAImageProcessor(**{name: value})
