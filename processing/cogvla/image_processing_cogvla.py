"""From camera images to the `pixel_values` that the two vision towers of CogVLA, OpenVLA-OFT and OpenVLA read."""

from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BatchFeature

from ...configuration.known_fields import check_arguments
from ...configuration.vla_errors import ConfigError, InputError, VLAError
from ..image_processors import CheckedImageProcessor
from ..sample_inputs import read_samples
from .image_ops import center_crop as crop_to_area
from .image_ops import jpeg_round_trip, lanczos3_resize

DINOV2_MEAN, DINOV2_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIGLIP_MEAN, SIGLIP_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
IMAGE_RESIZES = ("jpeg_lanczos3", "bicubic")


class CogVLAImageProcessor(CheckedImageProcessor):
    """Reproduces the published evaluation path (moojink/openvla-oft, experiments/robot/openvla_utils.py).

    Each image is brought to `evaluation_size` as the training data were (JPEG round trip, then Lanczos; an image that
    has the size already is left alone), unless `image_resize` says otherwise; then it is centre-cropped if asked for,
    resized to the towers' size (PIL bicubic) and normalised once for each tower.

    Args:
        image_sizes: input size in pixels of the first (DINOv2) and the second (SigLIP) tower, each an int or a square
            `[height, width]`; the two are equal, for their images are stacked along the channels.
        means, stds: for each tower one value per RGB channel, for pixels in 0..1.
        evaluation_size: height and width in pixels that the published training data have.
        image_resize: how an image of another size gets there. `jpeg_lanczos3`: through JPEG and Lanczos to
            `evaluation_size`, as the training data were made and as OpenVLA's LIBERO and Bridge evaluations,
            OpenVLA-OFT and CogVLA do it; `bicubic`: straight to the towers' size, as OpenVLA's deploy script does it.
        center_crop: whether to crop by default (true for models trained with random crops).
        crop_area: share of the area that the crop keeps, above 0 and up to 1.
        num_images_in_input: views per sample.

    Raises:
        ConfigError: an argument has the wrong form; the message names it.
    """

    arguments = (
        "image_sizes",
        "means",
        "stds",
        "evaluation_size",
        "image_resize",
        "center_crop",
        "crop_area",
        "num_images_in_input",
    )

    def __init__(
        self,
        image_sizes: Any = (224, 224),
        means: Any = (DINOV2_MEAN, SIGLIP_MEAN),
        stds: Any = (DINOV2_STD, SIGLIP_STD),
        evaluation_size: int = 224,
        image_resize: str = "jpeg_lanczos3",
        center_crop: bool = False,
        crop_area: float = 0.9,
        num_images_in_input: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.image_sizes = _checked_sizes(image_sizes)
        self.means = _checked_channels("means", means)
        self.stds = _checked_channels("stds", stds)
        if min(map(min, self.stds)) <= 0:
            raise ConfigError(f"stds must be above 0, got {self.stds}")
        if not isinstance(center_crop, bool):
            raise ConfigError(f"center_crop must be True or False, got {center_crop!r}")
        if not _is_number(crop_area) or not 0 < crop_area <= 1:
            raise ConfigError(f"crop_area must be a number above 0 and up to 1, got {crop_area!r}")
        self.evaluation_size = _checked_count("evaluation_size", evaluation_size)
        self.image_resize = _checked_resize(image_resize, ConfigError)
        self.center_crop = center_crop  # the flag; transformers' method of this name serves only its own `preprocess`
        self.crop_area = float(crop_area)
        self.num_images_in_input = _checked_count("num_images_in_input", num_images_in_input)

    @classmethod
    def from_prismatic(cls, preprocessor_config: dict[str, Any], **overrides: Any) -> "CogVLAImageProcessor":
        """Build from the `preprocessor_config.json` of a published checkpoint (its `PrismaticImageProcessor`).

        preprocessor_config: the file's content; read are `input_sizes` (two of [channels, height, width]), `means`,
        `stds`, `image_resize_strategy` and `interpolations`. overrides: constructor arguments that win over the file.
        Raises ConfigError for a missing field, for a resize strategy or interpolation that is not supported, and for an
        override that there is not.
        """
        check_arguments(cls.__name__, overrides, cls.arguments)
        strategy = _field(preprocessor_config, "image_resize_strategy")
        if strategy != "resize-naive":
            raise ConfigError(f"image_resize_strategy {strategy!r} is not supported; supported is 'resize-naive'")
        interpolations = _field(preprocessor_config, "interpolations")
        if any(name != "bicubic" for name in interpolations):
            raise ConfigError(f"interpolations {interpolations!r} are not supported; supported is 'bicubic' only")
        sizes = _field(preprocessor_config, "input_sizes")
        read = {
            "image_sizes": [size[1:] if isinstance(size, list) else size for size in sizes],
            "means": _field(preprocessor_config, "means"),
            "stds": _field(preprocessor_config, "stds"),
        }
        return cls(**{**read, **overrides})

    def preprocess(
        self,
        images: Any,
        center_crop: bool | None = None,
        return_tensors: str | None = None,
        image_resize: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Turn the images of one sample or of a batch into model input.

        Args:
            images: one sample is an image, a list of images or a dict of name -> image; a batch is a list of such lists
                or dicts. With `num_images_in_input` 1 a flat list of images is a batch. A dict names its first view
                'primary' or 'full_image'; the others follow in the dict's order. An image is a PIL image, a uint8
                array (height, width, 3) or a uint8 tensor (height, width, 3) or (3, height, width).
            center_crop: overrides the constructor's for this call.
            return_tensors: "pt" or "np"; None gives numpy.
            image_resize: overrides the constructor's for this call.

        Returns:
            `pixel_values`: (batch, 6 * num_images_in_input, height, width) float32; for each view three channels for
            the first tower, then three for the second.

        Raises:
            InputError: an image of another form, a wrong number of views, a dict without a first view, or an
                option that does not exist.
        """
        if kwargs:
            raise InputError(f"unknown options {sorted(kwargs)}; known are center_crop, image_resize, return_tensors")
        crop = self.center_crop if center_crop is None else center_crop
        resize = _checked_resize(self.image_resize if image_resize is None else image_resize, InputError)
        samples = read_samples(images, self.num_images_in_input)  # checks all before the first pixel is computed
        pixels = [np.concatenate([self._pixels(view, crop, resize) for view in sample]) for sample in samples]
        return BatchFeature({"pixel_values": np.stack(pixels)}, tensor_type=return_tensors)

    def _pixels(self, image: np.ndarray, crop: bool, resize: str) -> np.ndarray:
        """image: (height, width, 3) uint8 -> (6, *image size) float32, one normalisation after the other."""
        size = (self.evaluation_size, self.evaluation_size)
        if resize == "jpeg_lanczos3" and image.shape[:2] != size:
            image = lanczos3_resize(jpeg_round_trip(image), size)
        if crop:
            image = crop_to_area(image, self.crop_area)
        side = self.image_sizes[0]
        if image.shape[:2] != (side, side):
            image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        scaled = image.astype(np.float32) / np.float32(255)
        towers = zip(np.float32(self.means), np.float32(self.stds), strict=True)
        return np.concatenate([(scaled - mean) / std for mean, std in towers], axis=-1).transpose(2, 0, 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _field(preprocessor_config: dict[str, Any], name: str) -> Any:
    if name not in preprocessor_config:
        raise ConfigError(f"the preprocessor config has no field {name!r}; it has {sorted(preprocessor_config)}")
    return preprocessor_config[name]


def _checked_count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number above 0, got {value!r}")
    return value


def _checked_resize(value: Any, error: type[VLAError]) -> str:
    if value not in IMAGE_RESIZES:
        raise error(f"image_resize={value!r} is unknown; choose from {', '.join(IMAGE_RESIZES)}")
    return value


def _checked_sizes(value: Any) -> list[int]:
    """Two equal square sizes, each an int or [height, width], as two ints."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"image_sizes must hold two sizes, one for each vision tower, got {value!r}")
    heights_widths = [size if isinstance(size, (list, tuple)) else (size, size) for size in value]
    sides = {_checked_count("image_sizes", side) for size in heights_widths for side in size}
    if len(sides) != 1 or any(len(size) != 2 for size in heights_widths):
        raise ConfigError(f"image_sizes must be square and equal for both vision towers, got {value!r}")
    return [sides.pop()] * 2


def _checked_channels(name: str, value: Any) -> list[list[float]]:
    """Two lists of three numbers, one list for each vision tower, one number for each RGB channel."""
    towers = value if isinstance(value, (list, tuple)) else []
    three = [isinstance(tower, (list, tuple)) and len(tower) == 3 and all(map(_is_number, tower)) for tower in towers]
    if len(three) != 2 or not all(three):
        raise ConfigError(f"{name} must be two lists of three numbers, one for each vision tower, got {value!r}")
    return [[float(number) for number in tower] for tower in towers]
