"""The image operations against TensorFlow's own output (tests/golden/cogvla_image_ops.json)."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlahub.processing.cogvla.image_ops import center_crop, jpeg_round_trip, lanczos3_resize

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cogvla_image_ops.json").read_text())["outputs"]
CASES = ["modulo_256x256", "smooth_256x256", "smooth_480x640"]
SIZE = (224, 224)


def modulo(height, width):
    y, x = np.mgrid[:height, :width]
    channels = [(3 * x + y) % 256, (x * y // 64) % 256, (255 - (x + 2 * y) // 3) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def smooth(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float64)
    channels = [np.round(127.5 + 100 * np.sin(x / 17 + c) * np.cos(y / (23 + 5 * c))) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def image_of(case):
    formula, size = case.split("_")
    return {"modulo": modulo, "smooth": smooth}[formula](*map(int, size.split("x")))


def crc(image):
    return zlib.crc32(image.tobytes())


def assert_same_pixels(image, golden):
    assert list(image.shape) == golden["shape"]
    np.testing.assert_array_equal(image.ravel()[golden["index"]], golden["values"])
    assert crc(image) == golden["crc32"]


def assert_near(image, golden, levels):
    """Within `levels` at every sampled value. PIL's inverse DCT does not darken: 0.8 levels brighter on average."""
    assert list(image.shape) == golden["shape"]
    difference = image.ravel()[golden["index"]].astype(int) - golden["values"]
    assert np.abs(difference).max() <= levels
    assert 0.8 < image.mean() - golden["mean"] < 0.85


@pytest.mark.parametrize("case", CASES)
def test_the_input_images_are_those_of_the_golden_run(case):
    assert crc(image_of(case)) == GOLDEN[case]["input_crc32"]


@pytest.mark.parametrize("case", CASES)
def test_lanczos3_resize_gives_the_bytes_of_tensorflow(case):
    assert_same_pixels(lanczos3_resize(image_of(case), SIZE), GOLDEN[case]["lanczos3_224_without_jpeg"])


def test_center_crop_gives_the_bytes_of_tensorflow():
    assert_same_pixels(center_crop(smooth(*SIZE), 0.9), GOLDEN["center_crop_only_smooth_224"]["output"])


@pytest.mark.parametrize(("case", "levels"), list(zip(CASES, (10, 4, 4), strict=True)))
def test_jpeg_round_trip_differs_from_tensorflow_by_its_faster_decoder_only(case, levels):
    assert_near(jpeg_round_trip(image_of(case)), GOLDEN[case]["jpeg_roundtrip"], levels)


@pytest.mark.parametrize(("case", "levels"), list(zip(CASES, (10, 4, 4), strict=True)))
def test_the_whole_evaluation_path_stays_near_tensorflow(case, levels):
    resized = lanczos3_resize(jpeg_round_trip(image_of(case)), SIZE)
    assert_near(resized, GOLDEN[case]["resize_image_for_policy_224"], levels)
    assert_near(center_crop(resized), GOLDEN[case]["center_crop_image_of_that"], levels)


def test_lanczos3_resize_to_the_same_size_changes_nothing():
    image = modulo(33, 47)
    np.testing.assert_array_equal(lanczos3_resize(image, (33, 47)), image)


def test_enlarging_reads_as_many_pixels_as_the_kernel_of_pil():
    image = smooth(20, 30)
    wanted = np.asarray(Image.fromarray(image).resize((70, 50), Image.Resampling.LANCZOS))
    assert np.abs(lanczos3_resize(image, (50, 70)).astype(int) - wanted).max() <= 1


def test_lanczos3_resize_keeps_a_uniform_image_uniform():
    assert (lanczos3_resize(np.full((31, 90, 3), 201, np.uint8), (64, 17)) == 201).all()


def test_a_center_crop_of_the_whole_area_changes_nothing():
    image = modulo(40, 56)
    np.testing.assert_array_equal(center_crop(image, 1.0), image)
