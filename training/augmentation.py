"""Random changes of camera images in training, of the kinds and sizes that OpenVLA was trained with.

Published form: openvla/openvla, prismatic/vla/datasets/datasets.py (`image_augment_kwargs`). There TensorFlow does it;
PIL measures contrast from the mean grey instead of the mean colour and saturation by blending with grey.
"""

import math
from dataclasses import dataclass

import torch
from PIL import Image, ImageEnhance

from ..configuration.vla_errors import ConfigError
from ..processing.image_reader import read_pil_image

FULL_CIRCLE = 255  # PIL's hue of 255 is the red of 0 again


@dataclass(frozen=True)
class RandomAugmentation:
    """Called with a PIL image, returns it cropped, resized back, and with other colours; the size stays.

    The draws are uniform and come from torch's generator of the process, so that a seed repeats them.

    Args:
        crop_scale: share of the area that a crop keeps, at a random place; above 0 and up to 1.
        brightness: the most that is added to every channel or taken from it, as a share of white; 0 up to 1.
        contrast, saturation: (least, greatest) factor; 1 changes nothing.
        hue: the most that the hue turns, either way, as a share of the full circle; 0 up to 0.5.

    Raises:
        ConfigError: a value is out of its range; the message names it.
    """

    crop_scale: float = 0.9
    brightness: float = 0.2
    contrast: tuple[float, float] = (0.8, 1.2)
    saturation: tuple[float, float] = (0.8, 1.2)
    hue: float = 0.05

    def __post_init__(self):
        if not 0 < self.crop_scale <= 1:
            raise ConfigError(f"crop_scale={self.crop_scale!r} must be above 0 and up to 1.")
        for name, greatest in (("brightness", 1), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= greatest:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be between 0 and {greatest}.")
        for name in ("contrast", "saturation"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or len(value) != 2 or not 0 <= value[0] <= value[1] < math.inf:
                raise ConfigError(f"{name}={value!r} must be (least, greatest) with 0 <= least <= greatest.")

    def __call__(self, image: Image.Image) -> Image.Image:
        """image: any mode that `read_pil_image` reads -> RGB of the same size."""
        left, top, brightness, contrast, saturation, hue = torch.rand(6, dtype=torch.float32).tolist()
        image = Image.fromarray(read_pil_image(image, "an image to be changed"))
        image = cropped(image, self.crop_scale, left, top)
        image = brightened(image, self.brightness * (2 * brightness - 1))
        image = ImageEnhance.Contrast(image).enhance(between(self.contrast, contrast))
        image = ImageEnhance.Color(image).enhance(between(self.saturation, saturation))
        return with_turned_hue(image, self.hue * (2 * hue - 1))


def between(bounds: tuple[float, float], share: float) -> float:
    """The number at that share, 0..1, of the way from one bound to the other."""
    return bounds[0] + (bounds[1] - bounds[0]) * share


def cropped(image: Image.Image, area: float, left: float, top: float) -> Image.Image:
    """A window of that share of the area and of the same shape, at `left`, `top` in 0..1, resized back bilinearly."""
    width, height = image.size
    side = math.sqrt(area)
    x, y = left * (1 - side) * width, top * (1 - side) * height
    window = (x, y, min(x + side * width, width), min(y + side * height, height))
    return image.resize(image.size, Image.Resampling.BILINEAR, box=window)


def brightened(image: Image.Image, shift: float) -> Image.Image:
    """shift: added to every channel, as a share of white."""
    values = [min(max(round(value + 255 * shift), 0), 255) for value in range(256)]
    return image.point(values * 3)


def with_turned_hue(image: Image.Image, turn: float) -> Image.Image:
    """turn: of the colour circle, as a share of it, brought to a whole number of PIL's 255 hues."""
    steps = round(turn * FULL_CIRCLE)
    if steps == 0:
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point([(entry + steps) % FULL_CIRCLE for entry in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
