"""Random augmentation: what each change does to pixels, how often, and that a seed repeats it."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vlahub.configuration.vla_errors import ConfigError
from vlahub.training.augmentation import RandomAugmentation, cropped, with_turned_hue

NOTHING = {"crop_scale": 1, "brightness": 0, "contrast": (1, 1), "saturation": (1, 1), "hue": 0}
NOISE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (30, 40, 3), dtype=np.uint8))
GREY = Image.new("RGB", (8, 8), (100, 100, 100))


def values(image):
    return np.asarray(image).astype(float)


def drawn(change, image, count=200):
    """The same image through one change, often: (count, height, width, 3)."""
    torch.manual_seed(0)
    augment = RandomAugmentation(**{**NOTHING, **change})
    return np.stack([values(augment(image)) for _ in range(count)])


def test_zero_strength_is_the_identity():
    assert np.array_equal(RandomAugmentation(**NOTHING)(NOISE), NOISE)
    assert RandomAugmentation()(Image.new("L", (5, 7))).size == (5, 7)


def test_a_seed_repeats_it_and_workers_differ():
    torch.manual_seed(3)
    first = [values(RandomAugmentation()(NOISE)) for _ in range(2)]
    torch.manual_seed(3)
    again = [values(RandomAugmentation()(NOISE)) for _ in range(2)]
    assert np.array_equal(first, again) and not np.array_equal(first[0], first[1])


def test_data_loader_workers_repeat_with_the_seed_and_draw_apart():
    runs = []
    for _ in range(2):
        loader = DataLoader(
            [NOISE] * 4,
            num_workers=2,
            collate_fn=lambda images: values(RandomAugmentation()(images[0])),
            generator=torch.Generator().manual_seed(1),
        )
        runs.append(np.stack(list(loader)))
    assert np.array_equal(runs[0], runs[1])
    assert len({run.tobytes() for run in runs[0]}) == 4


def test_brightness_adds_the_same_to_every_pixel():
    added = drawn({"brightness": 0.2}, GREY) - 100
    assert (added == added[:, :1, :1, :1]).all()
    assert -51 <= added.min() < -45 and 45 < added.max() <= 51 and abs(added.mean()) < 8
    assert values(RandomAugmentation(**{**NOTHING, "brightness": 1})(NOISE)).min() >= 0


@pytest.mark.parametrize("name", ["contrast", "saturation"])
def test_contrast_and_saturation_scale_distances(name):
    """Contrast: from the mean grey. Saturation: from the grey of each pixel."""
    image = Image.fromarray(np.array([[[90, 120, 110], [130, 100, 140]]] * 6, dtype=np.uint8))
    grey = values(image.convert("L"))[..., None]
    middle = grey.mean().round() if name == "contrast" else grey
    apart = values(image) - middle
    factors = ((drawn({name: (0.5, 1.5)}, image) - middle) * apart).sum((1, 2, 3)) / (apart**2).sum()
    assert 0.48 < factors.min() < 0.55 and 1.45 < factors.max() < 1.52
    assert abs(factors.mean() - 1) < 0.06


def test_a_crop_has_its_share_of_the_area_everywhere():
    """On a ramp of columns and rows the slope is the side of the window, and the middle is its place."""
    column, row = np.meshgrid(np.arange(80), np.arange(60))
    ramp = Image.fromarray(np.stack([3 * column, 4 * row, 0 * row], axis=-1).astype(np.uint8))
    crops = drawn({"crop_scale": 0.64}, ramp, count=100)
    columns, rows = crops[:, 30, :, 0] / 3, crops[:, :, 40, 1] / 4
    for place, size in ((columns, 80), (rows, 60)):
        sides = (place[:, -10] - place[:, 10]) / (size - 20)
        np.testing.assert_allclose(sides, 0.8, atol=0.02)
        middles = place[:, size // 2]
        assert middles.min() < 0.42 * size and middles.max() > 0.58 * size
    np.testing.assert_allclose(values(cropped(ramp, 0.64, 1, 1))[-1, -1, :2] / [3, 4], [79, 59], atol=0.5)


@pytest.mark.parametrize("turn", [0.05, -0.05, 0.5, -0.3])
def test_hue_turns_and_wraps_around_as_in_colorsys(turn):
    colours = [(255, 0, 0), (255, 0, 20), (0, 200, 40), (30, 60, 250), (200, 180, 20), (90, 90, 90), (0, 0, 0)]
    found = values(with_turned_hue(Image.fromarray(np.array([colours], dtype=np.uint8)), turn))[0]
    for colour, pixel in zip(colours, found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
        wanted = 255 * np.array(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
        np.testing.assert_allclose(pixel, wanted, atol=7)  # PIL has 255 hues


def test_hue_is_drawn_both_ways_up_to_its_bound():
    red = drawn({"hue": 0.05}, Image.new("RGB", (1, 1), (255, 0, 0)))[:, 0, 0]
    toward_yellow, toward_violet = red[:, 1] / 255 / 6, red[:, 2] / 255 / 6
    assert 0.045 < toward_yellow.max() < 0.055 and 0.045 < toward_violet.max() < 0.055
    assert (np.minimum(toward_yellow, toward_violet) == 0).all() and (red[:, 0] == 255).all()


DRAWN = {"left": 0, "top": 1, "brightness": 2, "contrast": 3, "saturation": 4, "hue": 5}
STRONG = {"brightness": 0.3, "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": 0.2}


@pytest.mark.parametrize("name", DRAWN)
def test_each_change_follows_a_draw_of_its_own(name, monkeypatch):
    """What is seen of two images, one for each value of each draw: rows and columns of a ramp show where a crop is."""
    line = np.arange(40, dtype=np.uint8) * 5
    ramp = np.broadcast_to(line if name == "left" else line[:, None], (40, 40))
    image = Image.fromarray(np.stack([ramp] * 3, axis=-1)) if name in ("left", "top") else NOISE
    change = {"crop_scale": 0.5} if name in ("left", "top") else {name: STRONG[name]}

    def seen(draws):
        monkeypatch.setattr(torch, "rand", lambda count, dtype: torch.tensor(draws))
        return values(RandomAugmentation(**{**NOTHING, **change})(image))

    middle = seen([0.5] * 6)
    for place in range(6):
        for value in (0.1, 0.9):
            draws = [0.5] * 6
            draws[place] = value
            assert np.array_equal(seen(draws), middle) == (place != DRAWN[name])


@pytest.mark.parametrize(
    "change",
    [
        {"crop_scale": 0},
        {"crop_scale": 1.1},
        {"crop_scale": math.nan},
        {"brightness": -0.1},
        {"brightness": 2},
        {"contrast": (1.2, 0.8)},
        {"contrast": 0.2},
        {"saturation": (-1, 1)},
        {"saturation": (1, math.inf)},
        {"hue": 0.6},
    ],
)
def test_impossible_values_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        RandomAugmentation(**change)
