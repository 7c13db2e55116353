"""From camera images, one or several views of a scene, to the `pixel_values` of LLaVA-3D with an action expert."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature

from ..configuration.language_model_config import check_positive
from ..configuration.vla_errors import ConfigError, InputError
from .image_inputs import read_samples

# float32 value of each of the 256 grey levels; SigLIP's mean and standard deviation are 0.5 in every channel.
UNIT = (np.arange(256) * (1 / 255)).astype(np.float32)
PIXEL_VALUES = {"siglip": (UNIT - np.float32(0.5)) / np.float32(0.5), "unit": UNIT}
ARGUMENTS = ("size", "patch_size", "num_views", "pixel_range")


class MapAnythingLlava3DImageProcessor(BaseImageProcessor):
    """Resizes (PIL bicubic) and rescales as SigLIP's published processor does, for any number of views.

    Args:
        size: `{"height": pixels, "width": pixels}` of the model's input.
        patch_size: side in pixels of the vision tower's patches.
        num_views: views of one sample; `None` is any number, the same for all samples of a batch.
        pixel_range: `siglip` gives values in [-1, 1], `unit` in [0, 1]; that of the model's config.

    Raises:
        ConfigError: an argument has the wrong form; the message names it.
    """

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        size: Mapping[str, int] | None = None,
        patch_size: int = 14,
        num_views: int | None = None,
        pixel_range: str = "siglip",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive("patch_size", patch_size)
        if num_views is not None:
            check_positive("num_views", num_views)
        if pixel_range not in PIXEL_VALUES:
            raise ConfigError(f"pixel_range={pixel_range!r} is unknown; choose from {', '.join(PIXEL_VALUES)}.")
        self.size = _checked_size(size or {"height": 224, "width": 224}, patch_size)
        self.patch_size = patch_size
        self.num_views = num_views
        self.pixel_range = pixel_range

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any):
        """As in transformers, but overrides given to `from_pretrained` are validated like constructor arguments."""
        overrides = {name: kwargs.pop(name) for name in ARGUMENTS if name in kwargs}
        return super().from_dict({**image_processor_dict, **overrides}, **kwargs)

    @property
    def image_seq_length(self) -> int:
        """Patches of one view: with SigLIP, its number of image tokens."""
        return (self.size["height"] // self.patch_size) * (self.size["width"] // self.patch_size)

    def preprocess(self, images: Any, return_tensors: str | None = None, **kwargs: Any) -> BatchFeature:
        """Turn the images of one sample or of a batch into model input.

        Args:
            images: one sample is an image, a list of images or a dict of name -> image; a batch is a list of such lists
                or dicts. With `num_views` 1 a flat list of images is a batch. A dict names its first view 'primary' or
                'full_image'; the others follow in the dict's order. An image is a PIL image, a uint8 array (height,
                width, 3) or a uint8 tensor (height, width, 3) or (3, height, width).
            return_tensors: "pt" or "np"; None gives numpy.

        Returns:
            `pixel_values`: (batch, views, 3, height, width) float32.

        Raises:
            InputError: an image of another form, a wrong number of views, a dict without a first view, or an option
                that does not exist.
        """
        if kwargs:
            raise InputError(f"unknown options {sorted(kwargs)}; known is return_tensors")
        samples = read_samples(images, self.num_views)
        pixels = np.stack([[self._pixels(view) for view in sample] for sample in samples])
        return BatchFeature({"pixel_values": pixels}, tensor_type=return_tensors)

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        """image: (height, width, 3) uint8 -> (3, *size) float32."""
        height, width = self.size["height"], self.size["width"]
        if image.shape[:2] != (height, width):
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
        return PIXEL_VALUES[self.pixel_range][image.transpose(2, 0, 1)]


def _checked_size(size: Any, patch_size: int) -> dict[str, int]:
    if not isinstance(size, Mapping) or set(size) != {"height", "width"}:
        raise ConfigError(f"size must be {{'height': pixels, 'width': pixels}}, got {size!r}.")
    for name in ("height", "width"):
        check_positive(f"size[{name!r}]", size[name])
        if size[name] < patch_size:
            raise ConfigError(f"size[{name!r}]={size[name]} holds no patch of patch_size={patch_size}.")
    return {"height": size["height"], "width": size["width"]}
