"""AlpamayoR1ImageProcessor: Qwen3-VL's published patches, sizes within the bounds, and what is refused."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing import image_reader
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor, read_frames, smart_resize

RELEASE = {"factor": 32, "min_pixels": 163840, "max_pixels": 196608}
SMALL = {"min_pixels": 1024, "max_pixels": 8192}


@pytest.fixture(scope="module")
def case(golden):
    return golden("alpamayo/image_preprocess")


def golden_image(height, width):
    """The image of the golden case, (3, height, width) uint8."""
    c, y, x = np.ogrid[:3, :height, :width]
    values = 37 * c + 3 * x + 5 * y + (x * y) // 7 + 90 * ((x // 40 + y // 30 + c) % 2)
    return (values % 256).astype(np.uint8)


def noise(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def processed(images, **settings):
    return AlpamayoR1ImageProcessor(**{**SMALL, **settings})(images, return_tensors="pt")


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize(("path", "rounded"), [("slow", True), ("train_float", False)])
def test_patches_are_the_published_ones(case, size, path, rounded):
    settings = dict(case.config[size])
    image = golden_image(settings.pop("height"), settings.pop("width"))
    output = processed(image, round_to_uint8=rounded, **settings)
    case.check(f"{size}.{path}.pixel_values", output["pixel_values"])
    case.check(f"{size}.slow.image_grid_thw", output["image_grid_thw"])
    assert output["pixel_values"].dtype == torch.float32 and output["image_grid_thw"].dtype == torch.int64


def test_patches_are_those_of_the_published_fast_path_within_one_grey_level(case):
    settings = dict(case.config["small"])
    output = processed(golden_image(settings.pop("height"), settings.pop("width")), **settings)
    spec = case["outputs"]["small.fast.pixel_values"]
    found = output["pixel_values"].flatten()[torch.tensor(spec["index"])]
    assert (found - torch.tensor(spec["values"])).abs().max() < 2 / 255 + 1e-4


def test_the_frames_of_a_patch_are_equal():
    patches = processed(noise(3, 64, 96))["pixel_values"].reshape(-1, 3, 2, 16, 16)
    assert torch.equal(patches[:, :, 0], patches[:, :, 1])


def test_an_image_of_the_right_size_is_cut_token_by_token():
    image = noise(3, 64, 96)
    output = processed(image)
    assert output["image_grid_thw"].tolist() == [[1, 4, 6]]
    scaled = torch.from_numpy(image).float() / 127.5 - 1
    # Four patches of a token, then the token to the right: rows and columns in units of 16 pixels.
    for patch, (row, column) in {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1), 4: (0, 2), 12: (2, 0), 23: (3, 5)}.items():
        expected = scaled[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        found = output["pixel_values"][patch].reshape(3, 2, 16, 16)[:, 0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_mean_deviation_and_sizes_are_settings():
    image = noise(3, 56, 56)
    settings = {"patch_size": 14, "temporal_patch_size": 1, "image_mean": [0, 0.5, 1], "image_std": [1, 2, 0.5]}
    patches = processed(image, **settings)["pixel_values"]
    assert patches.shape == (16, 3 * 14 * 14)
    expected = (image[:, :14, :14] / 255 - np.reshape([0, 0.5, 1], (3, 1, 1))) / np.reshape([1, 2, 0.5], (3, 1, 1))
    np.testing.assert_allclose(patches[0].reshape(3, 14, 14), expected, atol=1e-6)


def test_every_form_of_the_frames_gives_the_same_patches_in_the_same_order():
    stack = noise(2, 3, 3, 32, 48)
    pictures = [[Image.fromarray(frame.transpose(1, 2, 0)) for frame in camera] for camera in stack]
    expected = processed(stack)
    assert expected["image_grid_thw"].shape == (6, 3)
    first_and_last = [processed(stack[0, 0])["pixel_values"], processed(stack[1, 2])["pixel_values"]]
    count = len(first_and_last[0])
    assert torch.equal(expected["pixel_values"][:count], first_and_last[0])
    assert torch.equal(expected["pixel_values"][-count:], first_and_last[1])
    tensor = torch.from_numpy(stack)
    forms = [tensor, list(stack), pictures, [p for camera in pictures for p in camera], tensor.flatten(0, 1)]
    for form in (*forms, np.moveaxis(stack, 2, -1), [tensor[0], pictures[1]]):
        found = processed(form)
        assert torch.equal(found["pixel_values"], expected["pixel_values"])
        assert torch.equal(found["image_grid_thw"], expected["image_grid_thw"])


def test_images_of_different_sizes_have_their_own_grids():
    processor = AlpamayoR1ImageProcessor(**SMALL)
    output = processor([noise(3, 32, 96), noise(3, 96, 64)], return_tensors="np")
    assert output["image_grid_thw"].tolist() == [[1, 2, 6], [1, 6, 4]]
    assert processor.tokens_per_image(output["image_grid_thw"]) == [3, 6]
    assert output["pixel_values"].shape == (12 + 24, 1536)


def test_the_size_after_the_resize_is_the_published_one(case):
    sizes = case["outputs"]["smart_resize"]
    found = [list(smart_resize(*size, **RELEASE)) for size in sizes["sizes_in"]]
    assert found == sizes["sizes_out"]


@pytest.mark.parametrize("size", [(32, 5000), (5000, 32), (100, 19900), (19900, 100), (1, 200), (7, 1400)])
def test_no_shape_exceeds_max_pixels(size):
    height, width = AlpamayoR1ImageProcessor().output_size(*size)
    assert height % 32 == 0 and width % 32 == 0 and 0 < height * width <= 196608
    assert (height < width) == (size[0] < size[1])


def test_ordinary_shapes_keep_the_published_size(case):
    processor = AlpamayoR1ImageProcessor()
    for size, published in zip(*case["outputs"]["smart_resize"].values(), strict=True):
        if published[0] * published[1] <= 196608:
            assert processor.output_size(*size) == tuple(published)


def test_a_size_that_is_clamped_is_said_once(caplog):
    processor = AlpamayoR1ImageProcessor()
    with caplog.at_level(logging.WARNING):
        assert [processor.output_size(32, 5001) for _ in range(2)] == [(32, 5536)] * 2
    said = [record.message for record in caplog.records if "32 x 5001" in record.message]
    assert len(said) == 1 and "64 x 5088" in said[0] and "max_pixels=196608" in said[0] and "32 x 5536" in said[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no image"),
        ([[], []], "no image"),
        (np.zeros((0, 3, 32, 32), np.uint8), "no image"),
        (np.zeros((3, 32, 32), np.float32), r"float32 of shape \(3, 32, 32\)"),
        (torch.zeros(2, 3, 32, 32), r"torch.float32 of shape \(2, 3, 32, 32\)"),
        (np.zeros((32, 32), np.uint8), r"shape \(32, 32\)"),
        (np.zeros((4, 32, 32), np.uint8), r"shape \(4, 32, 32\)"),
        (np.zeros((3, 0, 32), np.uint8), r"shape \(3, 0, 32\)"),
        ("front.png", "holds a str"),
        ([None], "holds a NoneType"),
        (np.zeros((3, 2, 402), np.uint8), "2 x 402"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(InputError, match=message):
        processed(images)


def test_an_image_of_more_pixels_than_are_read_is_refused(monkeypatch):
    monkeypatch.setattr(image_reader, "MAX_PIXELS", 32 * 40)
    read_frames(noise(3, 32, 40))
    for shape in ((3, 33, 40), (2, 33, 40, 3)):
        with pytest.raises(InputError, match="33 x 40 pixels; 1 to 1280 are read"):
            read_frames(noise(*shape))


def test_three_channels_in_front_are_channels_whatever_is_behind():
    image = noise(3, 64, 3)
    assert np.array_equal(read_frames(image)[0], image.transpose(1, 2, 0))


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="do_resize"):
        AlpamayoR1ImageProcessor()(noise(3, 32, 32), do_resize=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_pixels": 0},
        {"max_pixels": 100.0},
        {"patch_size": -16},
        {"merge_size": True},
        {"max_pixels": 163839},
        {"min_pixels": 1, "max_pixels": 1023},
        {"image_mean": [0.5]},
        {"image_mean": [0.5, 0.5, float("nan")]},
        {"image_std": [0.5, 0.5, 0]},
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(settings):
    with pytest.raises(ConfigError, match=list(settings)[-1]):
        AlpamayoR1ImageProcessor(**settings)


def test_saved_settings_come_back_and_overrides_are_checked(tmp_path):
    processor = AlpamayoR1ImageProcessor(**SMALL, round_to_uint8=False, image_mean=(0.1, 0.2, 0.3))
    processor.save_pretrained(tmp_path)
    loaded = AlpamayoR1ImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    pixels = [p(noise(3, 50, 70), return_tensors="np")["pixel_values"] for p in (processor, loaded)]
    np.testing.assert_array_equal(*pixels)
    with pytest.raises(ConfigError, match="max_pixels"):
        AlpamayoR1ImageProcessor.from_pretrained(tmp_path, max_pixels=1000)
