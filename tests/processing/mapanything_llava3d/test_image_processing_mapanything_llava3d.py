"""MapAnythingLlava3DImageProcessor: SigLIP's published pixel values for several views, and what is refused."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing.mapanything_llava3d.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor


def noise(height=28, width=28, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def pixels(images, **settings):
    settings = {"size": {"height": 28, "width": 28}, **settings}
    return MapAnythingLlava3DImageProcessor(**settings)(images, return_tensors="np")["pixel_values"]


def siglip_processor(**settings):
    """The published SigLIP processor of the installed transformers that works with PIL."""
    for name in ("image_processing_pil_siglip.SiglipImageProcessorPil", "image_processing_siglip.SiglipImageProcessor"):
        module, kind = f"transformers.models.siglip.{name}".rsplit(".", 1)
        if importlib.util.find_spec(module):
            return getattr(importlib.import_module(module), kind)(**settings)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (56, 40), (17, 90)])
def test_pixels_are_those_of_the_published_siglip_processor(height, width):
    images = [Image.fromarray(noise(height, width, seed)) for seed in range(3)]
    size = {"height": 28, "width": 42}
    expected = siglip_processor(size=size)(images, return_tensors="np")["pixel_values"]
    found = pixels([images], size=size)
    assert found.shape == (1, 3, 3, 28, 42) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)


def test_pixels_in_the_unit_range_are_grey_levels_over_255():
    image = noise()
    np.testing.assert_allclose(pixels(image, pixel_range="unit")[0, 0], image.transpose(2, 0, 1) / 255, atol=1e-7)
    np.testing.assert_allclose(pixels(image) * 0.5 + 0.5, pixels(image, pixel_range="unit"), atol=1e-7)


def test_every_form_of_an_image_gives_the_same_pixels():
    image = noise(40, 30)
    tensor, expected = torch.from_numpy(image), pixels(image)
    for form in (Image.fromarray(image), tensor, tensor.permute(2, 0, 1), [image], {"primary": image}):
        np.testing.assert_array_equal(pixels(form), expected)


def test_a_flat_list_is_one_sample_of_several_views_unless_a_sample_has_one():
    views = [noise(seed=1), noise(seed=2)]
    assert pixels(views).shape == (1, 2, 3, 28, 28)
    assert pixels(views, num_views=1).shape == (2, 1, 3, 28, 28)
    np.testing.assert_array_equal(pixels([views, views[::-1]])[1], pixels(views[::-1])[0])


def test_a_dict_of_views_starts_with_the_first_view():
    left, front = noise(seed=1), noise(seed=2)
    np.testing.assert_array_equal(pixels({"wrist": left, "primary": front}), pixels([front, left]))


@pytest.mark.parametrize(
    ("images", "num_views", "message"),
    [
        ([[noise()], [noise()] * 3], None, "sample 1 has 3 images, expected 1, as many as sample 0 has"),
        ([[noise()] * 2, []], None, "sample 1 has 0 images, expected 2"),
        ([[]], None, "sample 0 has 0 images, expected 1"),
        ([noise()] * 3, 2, "sample 0 has 3 images, expected 2"),
        (noise() / 255, None, "sample 0, image 0: got float64"),
    ],
)
def test_images_of_a_wrong_number_or_form_are_refused(images, num_views, message):
    with pytest.raises(InputError, match=message):
        pixels(images, num_views=num_views)


def test_an_image_option_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"unknown options \['do_resize'\]"):
        MapAnythingLlava3DImageProcessor()(noise(), do_resize=False)


def test_the_number_of_image_tokens_is_the_number_of_whole_patches():
    assert MapAnythingLlava3DImageProcessor().image_seq_length == 256
    assert MapAnythingLlava3DImageProcessor({"height": 14, "width": 14}).image_seq_length == 1
    size = {"height": 384, "width": 28}
    assert MapAnythingLlava3DImageProcessor(size, patch_size=14).image_seq_length == 27 * 2


def test_an_image_on_its_side_is_resized():
    processor = MapAnythingLlava3DImageProcessor({"height": 28, "width": 42})
    assert processor(noise(42, 28))["pixel_values"].shape == (1, 1, 3, 28, 42)


def test_a_saved_image_processor_comes_back_the_same_and_checks_overrides(tmp_path):
    saved = MapAnythingLlava3DImageProcessor({"height": 28, "width": 42}, 7, 2, "unit")
    saved.save_pretrained(tmp_path)
    views, load = [noise(), noise(14, 56)], MapAnythingLlava3DImageProcessor.from_pretrained
    loaded = load(tmp_path)
    assert loaded.to_dict() == saved.to_dict() and loaded.image_seq_length == 24
    np.testing.assert_array_equal(loaded(views)["pixel_values"], saved(views)["pixel_values"])
    assert load(tmp_path, size={"height": 56, "width": 56}, pixel_range="siglip").image_seq_length == 64
    with pytest.raises(ConfigError, match="pixel_range='imagenet' is unknown; choose from siglip, unit"):
        load(tmp_path, pixel_range="imagenet")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", {"height": 224}),
        ("size", {"height": 224, "width": 7}),
        ("size", {"height": 224.0, "width": 224}),
        ("size", {"height": 224, "width": 224, "longest_edge": 224}),
        ("patch_size", 0),
        ("num_views", 0),
    ],
)
def test_an_image_setting_of_the_wrong_form_is_named(name, value):
    with pytest.raises(ConfigError, match=name):
        MapAnythingLlava3DImageProcessor(**{name: value})
