"""From camera frames to the patches that the vision towers of Qwen's VLMs read, without torchvision.

They are those of Alpamayo-R1 and of composed models. Checkpoints of both name class and file as they were published
first, and so does every checkpoint that is written: it stays readable by the code that older ones brought.
"""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from transformers.image_processing_utils import BatchFeature
from transformers.utils import logging

from ..configuration.vla_errors import ConfigError, InputError
from .image_processors import CheckedImageProcessor
from .image_reader import check_size, read_pil_image

logger = logging.get_logger(__name__)

MAX_ASPECT_RATIO = 200
COUNTS = ("min_pixels", "max_pixels", "patch_size", "temporal_patch_size", "merge_size")
ACCEPTED = "PIL images, or uint8 arrays or tensors (..., 3, height, width) or (..., height, width, 3)"


class AlpamayoR1ImageProcessor(CheckedImageProcessor):
    """Qwen3-VL's preprocessing with PIL: resize within a budget of pixels, normalise, cut into patches.

    Args:
        min_pixels, max_pixels: bounds of height * width after the resize; the defaults are those of the release.
        patch_size: side of a patch in pixels.
        temporal_patch_size: frames of a patch; a still image fills all of them.
        merge_size: patches that the model merges into one token, along each side.
        image_mean, image_std: one value per RGB channel, for pixels in 0..1.
        round_to_uint8: `True` is published inference: whole grey levels after the resize. `False` is the published
            fine-tuning path: torch's antialiased bicubic resize, not rounded and not clamped to 0..1.

    Raises:
        ConfigError: an argument has the wrong form; the message names it.
    """

    model_input_names = ["pixel_values", "image_grid_thw"]
    arguments = (*COUNTS, "image_mean", "image_std", "round_to_uint8")
    makes_patches = True  # as many of an image as its size gives
    num_images_in_input = None  # any number

    def __init__(
        self,
        min_pixels: int = 163840,
        max_pixels: int = 196608,
        patch_size: int = 16,
        temporal_patch_size: int = 2,
        merge_size: int = 2,
        image_mean: Any = (0.5, 0.5, 0.5),
        image_std: Any = (0.5, 0.5, 0.5),
        round_to_uint8: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.min_pixels = min_pixels
        self.max_pixels = max_pixels
        self.patch_size = patch_size
        self.temporal_patch_size = temporal_patch_size
        self.merge_size = merge_size
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.round_to_uint8 = round_to_uint8
        self.check()

    def check(self) -> None:
        """Refuse settings that cannot work, by the name of the argument."""
        for name in COUNTS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name}={value!r} must be a whole number above 0.")
        if self.max_pixels < max(self.min_pixels, self.factor**2):
            raise ConfigError(
                f"max_pixels={self.max_pixels} must be at least min_pixels={self.min_pixels} and the pixels of one "
                f"token, {self.factor**2}."
            )
        for name in ("image_mean", "image_std"):
            values = getattr(self, name)
            if len(values) != 3 or not np.isfinite(values).all() or (name == "image_std" and min(values) <= 0):
                raise ConfigError(f"{name}={values!r} must be three numbers, a deviation above 0.")

    @property
    def factor(self) -> int:
        """Pixels of one token along each side; heights and widths are multiples of it."""
        return self.patch_size * self.merge_size

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """Turn frames into patches.

        Args:
            images: (cameras, frames, 3, height, width) uint8, or lists of cameras of lists of frames, or a flat list.
                The order is kept: camera by camera, the oldest frame first. Each frame, or stack of frames, is PIL or a
                uint8 array or tensor with the channels before or behind height and width.
            return_tensors: "pt" or "np"; None gives numpy.

        Returns:
            `pixel_values` (patches of all images, channels * temporal_patch_size * patch_size^2) float32, the patches
            of one token side by side, and `image_grid_thw` (images, 3): for each image 1 and its patches along height
            and width.

        Raises:
            InputError: no image, one of another form, one more than 200 times as long as wide, or an unknown option.
        """
        if kwargs:
            raise InputError(f"unknown options {sorted(kwargs)}; known is return_tensors.")
        frames = read_frames(images)  # checks all before the first pixel is computed
        pixels = [self._pixels(frame) for frame in frames]
        data = {
            "pixel_values": np.concatenate([self._patches(image) for image in pixels]),
            "image_grid_thw": np.array([(1, *(side // self.patch_size for side in p.shape[1:])) for p in pixels]),
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def tokens_per_image(self, image_grid_thw: Any) -> list[int]:
        """Image tokens of each image in the language model; image_grid_thw: (images, 3)."""
        return (np.asarray(image_grid_thw).prod(axis=-1) // self.merge_size**2).tolist()

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize, never above `max_pixels`."""
        if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
            raise InputError(f"an image is {height} x {width}; one side may be {MAX_ASPECT_RATIO} times the other.")
        size = smart_resize(height, width, self.factor, self.min_pixels, self.max_pixels)
        if size[0] * size[1] <= self.max_pixels:
            return size
        clamped = largest_size(height, width, self.factor, self.max_pixels)
        logger.warning_once(
            f"An image of {height} x {width} would become {size[0]} x {size[1]}, more than max_pixels="
            f"{self.max_pixels}; it is resized to {clamped[0]} x {clamped[1]} instead."
        )
        return clamped

    def _pixels(self, frame: np.ndarray) -> np.ndarray:
        """frame: (height, width, 3) uint8 -> (3, *output size) float32, normalised."""
        height, width = self.output_size(*frame.shape[:2])
        mean, std = (np.float32(values)[:, None, None] for values in (self.image_mean, self.image_std))
        if self.round_to_uint8:
            image = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
            scaled = image.transpose(2, 0, 1) / np.float32(255)
        else:
            image = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] / 255
            scaled = interpolate(image, (height, width), mode="bicubic", antialias=True)[0].numpy()
        return (scaled - mean) / std

    def _patches(self, image: np.ndarray) -> np.ndarray:
        """image: (3, height, width) -> (patches, 3 * temporal_patch_size * patch_size^2), token by token."""
        size, merge = self.patch_size, self.merge_size
        channels, height, width = image.shape
        rows, columns = height // self.factor, width // self.factor
        split = image.reshape(channels, rows, merge, size, columns, merge, size)
        split = split.transpose(1, 4, 2, 5, 0, 3, 6)  # row and column of the token, those in it, channel, pixels
        still = np.repeat(split[:, :, :, :, :, None], self.temporal_patch_size, axis=5)
        return still.reshape(rows * columns * merge**2, -1)


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Qwen's height and width: multiples of `factor`, about the same shape, within the bounds for ordinary shapes.

    A very long image that is scaled up to `min_pixels` may exceed `max_pixels`, for both of its sides are rounded up
    (transformers, models/qwen2_vl/image_processing_qwen2_vl.py).
    """
    rounded = round(height / factor) * factor, round(width / factor) * factor
    pixels = rounded[0] * rounded[1]
    if pixels > max_pixels:
        scale = math.sqrt(height * width / max_pixels)
        return tuple(max(factor, math.floor(side / scale / factor) * factor) for side in (height, width))
    if pixels < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        return tuple(math.ceil(side * scale / factor) * factor for side in (height, width))
    return rounded


def largest_size(height: int, width: int, factor: int, max_pixels: int) -> tuple[int, int]:
    """The largest height and width of about this shape that are multiples of `factor` within `max_pixels`."""
    scale = math.sqrt(max_pixels / (height * width))
    short = max(factor, math.floor(min(height, width) * scale / factor) * factor)
    long = min(math.floor(max(height, width) * scale / factor), max_pixels // (short * factor)) * factor
    return (short, long) if height <= width else (long, short)


def read_frames(images: Any) -> list[np.ndarray]:
    """Every frame of stacks and nested lists, in their order, as uint8 (height, width, 3).

    Raises InputError where there is none, and for one of another form.
    """
    frames = _frames(images, "images")
    if not frames:
        raise InputError(f"images holds no image; accepted are {ACCEPTED}, and lists of these.")
    return frames


def _frames(images: Any, where: str) -> list[np.ndarray]:
    """where: what messages call them, such as `images[1][0]`."""
    if isinstance(images, (list, tuple)):
        return [frame for i, entry in enumerate(images) for frame in _frames(entry, f"{where}[{i}]")]
    if isinstance(images, Image.Image):
        return [read_pil_image(images, where)]
    if isinstance(images, torch.Tensor):
        images = images.detach().cpu().numpy() if images.dtype == torch.uint8 else images
    if not isinstance(images, (np.ndarray, torch.Tensor)):
        raise InputError(f"{where} holds a {type(images).__name__}; accepted are {ACCEPTED}, and lists of these.")
    shape = tuple(images.shape)
    if images.dtype != np.uint8 or len(shape) < 3 or 3 not in (shape[-3], shape[-1]) or 0 in shape[-3:]:
        raise InputError(f"{where} holds {images.dtype} of shape {shape}; accepted are {ACCEPTED}.")
    if shape[-3] == 3:
        images = np.moveaxis(images, -3, -1)
    check_size(images.shape[-2], images.shape[-3], where)
    return list(np.ascontiguousarray(images).reshape(-1, *images.shape[-3:]))
