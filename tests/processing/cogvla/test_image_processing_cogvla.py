"""CogVLAImageProcessor: published pixel values, the forms that images may have, and what is refused."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing.cogvla.image_ops import center_crop, jpeg_round_trip, lanczos3_resize
from vlahub.processing.cogvla.image_processing_cogvla import CogVLAImageProcessor

FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = json.loads((FOLDER / "cogvla_pixel_values.json").read_text())


def noise(height=224, width=224, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def pixels(processor, images, **options):
    return processor(images, return_tensors="np", **options)["pixel_values"]


def plain(image):
    """An image of the right size, normalised to -1..1: what a tower with mean and std 0.5 reads."""
    return (image.transpose(2, 0, 1) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


@pytest.fixture
def one_view():
    return CogVLAImageProcessor()


@pytest.fixture
def two_views():
    return CogVLAImageProcessor(image_sizes=[28, 28], num_images_in_input=2)


# The published path


def test_pixel_values_are_those_of_the_published_code():
    images = {name: Image.open(FOLDER / "cogvla_run_images" / f"{name}.png") for name in GOLDEN["images"]}
    for name, image in images.items():
        assert zlib.crc32(np.asarray(image).tobytes()) == GOLDEN["images_crc32"][name]
    processor = CogVLAImageProcessor.from_prismatic(GOLDEN["preprocessor_config"], num_images_in_input=2)
    values, golden = pixels(processor, images), GOLDEN["pixel_values"]
    assert list(values.shape) == golden["shape"] and values.dtype == np.float32
    np.testing.assert_allclose(values.ravel()[golden["index"]], golden["values"], rtol=0, atol=1e-6)
    np.testing.assert_allclose([values.mean(), values.std()], [golden["mean"], golden["std"]], atol=1e-6)


def test_an_image_of_the_evaluation_size_is_not_resized(one_view):
    image = noise()
    np.testing.assert_array_equal(pixels(one_view, image)[0, 3:], plain(image))


def test_an_image_of_another_size_goes_through_jpeg_and_lanczos(one_view):
    image = noise(120, 90)
    expected = plain(lanczos3_resize(jpeg_round_trip(image), (224, 224)))
    np.testing.assert_array_equal(pixels(one_view, image)[0, 3:], expected)


def test_an_image_may_go_straight_to_the_towers_size(one_view):
    """OpenVLA's deploy script hands the camera's image to its processor, which resizes it with PIL's bicubic kernel."""
    image = noise(120, 90)
    expected = plain(np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)))
    straight = CogVLAImageProcessor(image_resize="bicubic")
    np.testing.assert_array_equal(pixels(straight, image)[0, 3:], expected)
    np.testing.assert_array_equal(pixels(one_view, image, image_resize="bicubic")[0, 3:], expected)
    usual = pixels(one_view, image)
    np.testing.assert_array_equal(pixels(straight, image, image_resize="jpeg_lanczos3"), usual)
    assert np.abs(usual[0, 3:] - expected).max() > 0.05
    with pytest.raises(InputError, match="image_resize='nearest' is unknown; choose from jpeg_lanczos3, bicubic"):
        pixels(one_view, image, image_resize="nearest")


def test_the_crop_of_a_call_overrides_that_of_the_constructor(one_view):
    image = noise()
    cropped = plain(center_crop(image, 0.9))
    np.testing.assert_array_equal(pixels(one_view, image, center_crop=True)[0, 3:], cropped)
    cropping = CogVLAImageProcessor(center_crop=True)
    np.testing.assert_array_equal(pixels(cropping, image)[0, 3:], cropped)
    np.testing.assert_array_equal(pixels(cropping, image, center_crop=False)[0, 3:], plain(image))


@pytest.mark.parametrize("area", [0.5, 1])
def test_a_crop_keeps_its_share_of_the_area(area):
    image = noise()
    cropping = CogVLAImageProcessor(center_crop=True, crop_area=area)
    np.testing.assert_array_equal(pixels(cropping, image)[0, 3:], plain(center_crop(image, area)))


def test_the_same_picture_is_normalised_once_for_each_tower(one_view):
    values = pixels(one_view, noise())[0]
    mean, std = (np.array(numbers)[:, None, None] for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    np.testing.assert_allclose(values[:3] * std + mean, values[3:] * 0.5 + 0.5, atol=1e-6)


# The forms that images may have


def test_every_form_of_an_image_gives_the_same_pixels(one_view):
    image = noise()
    expected = pixels(one_view, image)
    tensor = torch.from_numpy(image)
    for form in (Image.fromarray(image), tensor, tensor.permute(2, 0, 1), np.asfortranarray(image)):
        np.testing.assert_array_equal(pixels(one_view, form), expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_a_pil_image_of_any_mode_becomes_rgb(one_view, mode):
    image = Image.fromarray(noise()).convert(mode)
    np.testing.assert_array_equal(pixels(one_view, image), pixels(one_view, image.convert("RGB")))


def test_a_flat_list_is_a_batch_for_one_view_and_a_sample_for_several(one_view, two_views):
    images = [noise(seed=0), noise(seed=1)]
    assert pixels(one_view, images).shape == (2, 6, 224, 224)
    assert pixels(two_views, images).shape == (1, 12, 28, 28)


def test_a_batch_equals_its_samples_run_singly(two_views):
    samples = [[noise(seed=0), noise(60, 80, seed=1)], [noise(30, 30, seed=2), noise(seed=3)]]
    singly = [pixels(two_views, sample) for sample in samples]
    np.testing.assert_array_equal(pixels(two_views, samples), np.concatenate(singly))


@pytest.mark.parametrize("first", ["primary", "full_image"])
def test_the_first_view_of_a_dict_goes_first_and_the_others_keep_their_order(first):
    processor = CogVLAImageProcessor(image_sizes=[28, 28], num_images_in_input=3)
    left, right, front = noise(seed=0), noise(seed=1), noise(seed=2)
    views = {"right_wrist": right, "left_wrist": left, first: front}
    np.testing.assert_array_equal(pixels(processor, views), pixels(processor, [front, right, left]))
    assert pixels(processor, [views, views]).shape == (2, 18, 28, 28)


def test_tensors_come_back_as_tensors(one_view):
    values = one_view(noise(), return_tensors="pt")["pixel_values"]
    assert values.dtype == torch.float32 and values.shape == (1, 6, 224, 224)


# Saving and loading


def test_a_saved_processor_comes_back_the_same(tmp_path):
    processor = CogVLAImageProcessor([[56, 56], 56], evaluation_size=112, center_crop=True, num_images_in_input=2)
    processor.save_pretrained(tmp_path)
    loaded = CogVLAImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert loaded.image_sizes == [56, 56] and loaded.center_crop is True
    views = [noise(), noise(seed=1)]
    np.testing.assert_array_equal(pixels(loaded, views), pixels(processor, views))


def test_options_given_while_loading_are_validated(tmp_path):
    CogVLAImageProcessor().save_pretrained(tmp_path)
    assert CogVLAImageProcessor.from_pretrained(tmp_path, image_sizes=[[28, 28], 28]).image_sizes == [28, 28]
    with pytest.raises(ConfigError, match="num_images_in_input"):
        CogVLAImageProcessor.from_pretrained(tmp_path, num_images_in_input=0)


# What is refused


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (noise().astype(np.float32), r"float32 of shape \(224, 224, 3\)"),
        (noise().astype(bool), "bool"),
        (noise()[..., :2], r"uint8 of shape \(224, 224, 2\)"),
        (noise().transpose(2, 0, 1), r"\(3, 224, 224\)"),
        (noise()[:0], r"\(0, 224, 3\)"),
        (torch.zeros(3, 8, 8, dtype=torch.bfloat16), r"bfloat16 of shape \(3, 8, 8\)"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), r"\(4, 8, 8\)"),
        ("image.png", "str"),
        (True, "bool"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_is_and_what_is_accepted(one_view, image, got):
    with pytest.raises(InputError, match=f"sample 0, image 0: got .*{got}.*accepted is a PIL image"):
        one_view(image)


def test_the_refused_view_of_a_dict_is_named(two_views):
    with pytest.raises(InputError, match="sample 0, image 'wrist': got float64"):
        two_views({"primary": noise(), "wrist": noise() / 255})


@pytest.mark.parametrize("images", [noise(), [noise()] * 3, [[noise()] * 2, [noise()]], {"primary": noise()}, [[]]])
def test_a_wrong_number_of_views_is_refused_with_both_numbers(two_views, images):
    with pytest.raises(InputError, match=r"sample \d has [013] images, expected 2"):
        two_views(images)


def test_a_dict_without_a_first_view_is_refused(two_views):
    with pytest.raises(InputError, match=r"exactly one of \['primary', 'full_image'\], got \['left', 'right'\]"):
        two_views({"left": noise(), "right": noise()})


def test_a_dict_with_two_first_views_is_refused(two_views):
    with pytest.raises(InputError, match="exactly one of"):
        two_views({"primary": noise(), "full_image": noise()})


@pytest.mark.parametrize(("images", "got"), [([], "an empty list"), ([noise(), [noise()]], "list.*ndarray")])
def test_an_empty_or_mixed_list_is_refused(one_view, images, got):
    with pytest.raises(InputError, match=got):
        one_view(images)


def test_an_option_that_does_not_exist_is_refused(one_view):
    with pytest.raises(InputError, match=r"unknown options \['centre_crop'\]"):
        one_view(noise(), centre_crop=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_sizes", 224),
        ("image_sizes", [224]),
        ("image_sizes", [224, 384]),
        ("image_sizes", [[224, 112], [224, 112]]),
        ("image_sizes", [0, 0]),
        ("image_sizes", [[224, 224, 224], 224]),
        ("means", [[0.5, 0.5, 0.5]]),
        ("means", [[0.5, 0.5], [0.5, 0.5]]),
        ("stds", [[0.5, 0.5, 0.0]] * 2),
        ("evaluation_size", 224.0),
        ("image_resize", "lanczos"),
        ("center_crop", "yes"),
        ("crop_area", 1.5),
        ("crop_area", True),
        ("means", [[0.5, 0.5, True]] * 2),
        ("num_images_in_input", 0),
        ("num_images_in_input", True),
    ],
)
def test_a_constructor_argument_of_the_wrong_form_is_named(name, value):
    with pytest.raises(ConfigError, match=name):
        CogVLAImageProcessor(**{name: value})


# Published preprocessor configs


def test_a_published_config_is_read_with_its_sizes_and_statistics():
    processor = CogVLAImageProcessor.from_prismatic(GOLDEN["preprocessor_config"], center_crop=True)
    assert processor.image_sizes == [56, 56] and processor.center_crop
    assert (processor.means, processor.stds) == tuple(GOLDEN["preprocessor_config"][name] for name in ("means", "stds"))
    given = CogVLAImageProcessor.from_prismatic(GOLDEN["preprocessor_config"], image_sizes=[28, 28])
    assert given.image_sizes == [28, 28] and given.means == processor.means


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_resize_strategy": "letterbox"}, "'letterbox' is not supported; supported is 'resize-naive'"),
        ({"interpolations": ["bicubic", "bilinear"]}, "'bilinear'.*supported is 'bicubic'"),
        ({"input_sizes": [[3, 224, 224]]}, "image_sizes must hold two sizes"),
    ],
)
def test_a_published_config_of_another_kind_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        CogVLAImageProcessor.from_prismatic({**GOLDEN["preprocessor_config"], **change})


@pytest.mark.parametrize("name", ["input_sizes", "means", "stds", "image_resize_strategy", "interpolations"])
def test_a_published_config_without_a_field_is_refused(name):
    config = {key: value for key, value in GOLDEN["preprocessor_config"].items() if key != name}
    with pytest.raises(ConfigError, match=f"no field '{name}'"):
        CogVLAImageProcessor.from_prismatic(config)
