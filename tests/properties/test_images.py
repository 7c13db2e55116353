"""Images to pixel values, against PIL, transformers and float64 written out, whatever form and size they come in."""

import importlib
import math

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from vlahub.errors import InputError
from vlahub.processing.cogvla.image_ops import center_crop, lanczos3_resize
from vlahub.processing.cogvla.image_processing_cogvla import CogVLAImageProcessor
from vlahub.processing.image_processing_alpamayo_r1 import AlpamayoR1ImageProcessor, smart_resize
from vlahub.processing.mapanything_llava3d.camera_intrinsics import scaled_intrinsics
from vlahub.processing.mapanything_llava3d.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from vlahub.processing.multimodal_vla.image_processing_multimodal_vla import MultimodalVLAImageProcessor

SIDES = st.integers(5, 40)


def of_transformers(name):
    """Its image processing of a model, the one that needs no torchvision."""
    try:
        return importlib.import_module(f"transformers.models.{name}.image_processing_pil_{name}")
    except ImportError:  # 4.57
        return importlib.import_module(f"transformers.models.{name}.image_processing_{name}")


def processor_of_transformers(name, kind):
    module = of_transformers(name)
    return getattr(module, f"{kind}ImageProcessorPil", None) or getattr(module, f"{kind}ImageProcessor")


def picture(seed, height, width):
    """Noise over a slope, uint8 (height, width, 3)."""
    generator = np.random.default_rng(seed)
    slope = np.linspace(0, 200, height)[:, None, None] + np.linspace(0, 40, width)[None, :, None]
    return np.clip(slope + generator.normal(0, 30, (height, width, 3)), 0, 255).astype(np.uint8)


def formed(array, form):
    """The same image as a caller may have it; an array with its rows and columns exchanged twice is no longer in order
    in memory."""
    return {
        "array": lambda: array,
        "strided": lambda: np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1),
        "backwards": lambda: array[::-1].copy()[::-1],
        "PIL": lambda: Image.fromarray(array),
        "tensor": lambda: torch.from_numpy(array),
        "channels first": lambda: torch.from_numpy(array).permute(2, 0, 1),
    }[form]()


FORMS = st.sampled_from(["array", "strided", "backwards", "PIL", "tensor", "channels first"])


def bicubic(array, height, width):
    return np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float64) / 255


MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.5, 0.2)


@given(SIDES, SIDES, SIDES, SIDES, FORMS, st.booleans(), SEEDS)
def test_towers_of_fixed_size_see_what_pil_makes_of_an_image(height, width, rows, columns, form, is_double, seed):
    array = picture(seed, height, width)
    second = {"second_image_mean": STD, "second_image_std": MEAN} if is_double else {}
    size = {"height": rows, "width": columns}
    processor = MultimodalVLAImageProcessor(size, MEAN, STD, num_views=1, **second)
    found = processor(formed(array, form), return_tensors="pt")["pixel_values"][0, 0].numpy()
    pixels = bicubic(array, rows, columns)
    wanted = [(pixels - MEAN) / STD] + ([(pixels - STD) / MEAN] if is_double else [])
    np.testing.assert_allclose(found, np.concatenate(wanted, axis=-1).transpose(2, 0, 1), atol=1e-5)
    siglip = processor_of_transformers("siglip", "Siglip")(size=size, resample=3, image_mean=MEAN, image_std=STD)
    np.testing.assert_allclose(
        found[:3], siglip([array], return_tensors="np", input_data_format="channels_last")["pixel_values"][0], atol=1e-5
    )


@given(st.integers(14, 40), st.integers(14, 40), SIDES, SIDES, st.sampled_from(["siglip", "unit"]), FORMS, SEEDS)
def test_llava3d_sees_what_pil_makes_of_an_image(rows, columns, height, width, pixel_range, form, seed):
    array = picture(seed, height, width)
    processor = MapAnythingLlava3DImageProcessor(
        {"height": rows, "width": columns}, num_views=1, pixel_range=pixel_range
    )
    found = processor(formed(array, form), return_tensors="pt")["pixel_values"][0, 0].numpy()
    pixels = bicubic(array, rows, columns).transpose(2, 0, 1)
    np.testing.assert_allclose(found, pixels if pixel_range == "unit" else pixels * 2 - 1, atol=1e-6)
    assert processor.image_seq_length == (rows // 14) * (columns // 14)


def lanczos(array, axis, count):
    """Along an axis in float64: a sum over all pixels by the kernel, wider where the image shrinks."""
    length = array.shape[axis]
    scale = length / count
    wide = max(scale, 1.0)
    weights = np.zeros((count, length))
    for i in range(count):
        for j in range(length):
            x = abs(j + 0.5 - (i + 0.5) * scale) / wide
            weights[i, j] = np.sinc(x) * np.sinc(x / 3) if x < 3 else 0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)


@given(SIDES, SIDES, SIDES, SIDES, SEEDS)
def test_a_lanczos_resize_is_a_sum_by_its_kernel(height, width, rows, columns, seed):
    array = picture(seed, height, width)
    found = lanczos3_resize(array, (rows, columns))
    exact = lanczos(lanczos(array.astype(np.float64), 0, rows), 1, columns)
    assert np.abs(found - np.clip(exact, 0, 255)).max() < 0.51
    assert np.array_equal(lanczos3_resize(array, (height, width)), array)
    flat = np.full((height, width, 3), seed % 256, np.uint8)
    assert (lanczos3_resize(flat, (rows, columns)) == seed % 256).all()


@given(SIDES, SIDES, floats(0.05, 1), SEEDS)
def test_a_crop_is_a_window_that_is_stretched_between_its_corners(height, width, area, seed):
    array = picture(seed, height, width)
    found = center_crop(array, area)
    side = math.sqrt(area)
    places = [np.linspace((1 - side) / 2 * (size - 1), (1 + side) / 2 * (size - 1), size) for size in (height, width)]
    exact = array.astype(np.float64)
    for axis, place in enumerate(places):
        low = np.clip(np.floor(place).astype(int), 0, exact.shape[axis] - 2)
        share = np.expand_dims(place - low, tuple(i for i in range(3) if i != axis))
        exact = exact.take(low, axis) * (1 - share) + exact.take(low + 1, axis) * share
    assert found.shape == array.shape
    assert np.abs(found - (exact / 255 * 255.5)).max() <= 1 + 1e-3  # truncated
    assert np.array_equal(center_crop(array, 1.0), array)


@given(st.lists(st.tuples(SIDES, SIDES), min_size=2, max_size=3), st.integers(1, 2), st.booleans(), st.data(), SEEDS)
def test_a_batch_of_images_is_its_samples_one_by_one(sizes, views, crop, data, seed):
    """Of both processors of robots, whatever the form of each image; and what another form holds is no other image."""
    arrays = [[picture(seed + i + 10 * v, *size) for v in range(views)] for i, size in enumerate(sizes)]
    given_images = [[formed(view, data.draw(FORMS)) for view in sample] for sample in arrays]
    cogvla = CogVLAImageProcessor((28, 28), evaluation_size=24, center_crop=crop, num_images_in_input=views)
    composed = MultimodalVLAImageProcessor({"height": 14, "width": 20}, num_views=views)
    for processor in (cogvla, composed):
        together = processor(given_images, return_tensors="pt")["pixel_values"]
        alone = [processor([sample], return_tensors="pt")["pixel_values"][0] for sample in arrays]
        assert torch.equal(together, torch.stack(alone))
        named = [dict(zip(("wrist", "primary")[-views:], sample[::-1], strict=True)) for sample in given_images]
        assert torch.equal(processor(named, return_tensors="pt")["pixel_values"], together)


@given(SIDES, SIDES, st.booleans(), SEEDS)
def test_each_tower_of_a_cogvla_has_its_own_normalisation_of_one_image(height, width, crop, seed):
    array = picture(seed, height, width)
    processor = CogVLAImageProcessor((28, 28), (MEAN, STD), (STD, MEAN), image_resize="bicubic", center_crop=crop)
    found = processor(array, return_tensors="np")["pixel_values"][0]
    shown = center_crop(array, 0.9) if crop else array
    pixels = bicubic(shown, 28, 28).transpose(2, 0, 1)
    for channels, mean, std in ((found[:3], MEAN, STD), (found[3:], STD, MEAN)):
        columns = (np.array(each)[:, None, None] for each in (mean, std))
        np.testing.assert_allclose(channels, (pixels - next(columns)) / next(columns), atol=1e-5)


@given(st.integers(8, 300), st.integers(8, 300), st.integers(1, 40), st.integers(0, 200), st.sampled_from([8, 16, 28]))
def test_sizes_of_patches_are_those_of_qwen_and_within_the_budget(height, width, tokens, more, factor):
    assume(max(height, width) <= 200 * min(height, width))
    least, most = tokens * factor**2, (tokens + more) * factor**2
    processor = AlpamayoR1ImageProcessor(least, most, patch_size=factor // 2, merge_size=2)
    found = processor.output_size(height, width)
    assert found[0] % factor == found[1] % factor == 0 and factor**2 <= found[0] * found[1] <= most
    wanted = of_transformers("qwen2_vl").smart_resize(height, width, factor=factor, min_pixels=least, max_pixels=most)
    assert smart_resize(height, width, factor, least, most) == tuple(wanted)
    assert found == tuple(wanted) or wanted[0] * wanted[1] > most


@given(st.lists(st.tuples(st.integers(20, 70), st.integers(20, 70)), min_size=1, max_size=3), st.data(), SEEDS)
def test_patches_are_cut_token_by_token_image_by_image(sizes, data, seed):
    """Patch by patch, with the loops that the reshapes stand for."""
    patch, merge, frames = (
        data.draw(st.sampled_from([4, 8])),
        data.draw(st.integers(1, 2)),
        data.draw(st.integers(1, 2)),
    )
    processor = AlpamayoR1ImageProcessor(1024, 3000, patch, frames, merge, MEAN, STD)
    arrays = [picture(seed + i, *size) for i, size in enumerate(sizes)]
    found = processor([formed(array, data.draw(FORMS)) for array in arrays], return_tensors="pt")
    rows = []
    for array, (time, high, wide) in zip(arrays, found["image_grid_thw"].tolist(), strict=True):
        assert (time, high * patch, wide * patch) == (1, *processor.output_size(*array.shape[:2]))
        pixels = (bicubic(array, high * patch, wide * patch) - MEAN) / STD
        for token_row in range(0, high, merge):
            for token_column in range(0, wide, merge):
                for row in range(token_row, token_row + merge):
                    for column in range(token_column, token_column + merge):
                        cut = pixels[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
                        rows.append(
                            np.concatenate([np.tile(channel.ravel(), frames) for channel in cut.transpose(2, 0, 1)])
                        )
    np.testing.assert_allclose(found["pixel_values"].numpy(), np.stack(rows), atol=1e-5)
    qwen = processor_of_transformers("qwen2_vl", "Qwen2VL")(
        min_pixels=1024, max_pixels=3000, patch_size=patch, temporal_patch_size=frames, merge_size=merge,
        image_mean=MEAN, image_std=STD,
    )  # fmt: skip
    theirs = qwen(list(arrays), return_tensors="np", input_data_format="channels_last")
    np.testing.assert_array_equal(theirs["image_grid_thw"], found["image_grid_thw"])
    np.testing.assert_allclose(theirs["pixel_values"], found["pixel_values"].numpy(), atol=1e-5)
    tokens = [high * wide // merge**2 for _, high, wide in found["image_grid_thw"].tolist()]
    assert processor.tokens_per_image(found["image_grid_thw"]) == tokens


@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.data(), SEEDS)
def test_a_resized_camera_sees_the_same_point_at_the_same_share_of_its_image(batch, views, given_for, data, seed):
    generator = np.random.default_rng(seed)
    matrix = generator.uniform(1, 300, (batch, views, 3, 3))
    matrix[..., 2, :] = (0, 0, 1)
    matrix = [matrix[0, 0], matrix[0], matrix][given_for]
    sizes = [[data.draw(st.tuples(SIDES, SIDES)) for _ in range(views)] for _ in range(batch)]
    found = scaled_intrinsics(matrix, sizes, {"height": 28, "width": 56}).double().numpy()
    point = np.array([*generator.standard_normal(2), 2.0])
    whole = np.broadcast_to(matrix, (batch, views, 3, 3))
    for row in range(batch):
        for view in range(views):
            height, width = sizes[row][view]
            before, after = whole[row, view] @ point, found[row, view] @ point
            np.testing.assert_allclose(after / (56, 28, 1), before / (width, height, 1), rtol=1e-4, atol=1e-4)


@given(st.sampled_from(["float", "channels", "empty", "text"]), SEEDS)
def test_what_is_no_image_is_refused(kind, seed):
    array = picture(seed, 8, 8)
    wrong = {"float": array / 255, "channels": array[..., :2], "empty": array[:0], "text": "a.png"}[kind]
    processors = [CogVLAImageProcessor(), MultimodalVLAImageProcessor(), AlpamayoR1ImageProcessor()]
    for processor in processors:
        with pytest.raises(InputError):
            processor([array, wrong] if kind != "text" else [wrong])
