"""From camera images, one or several views of a scene, to the `pixel_values` of LLaVA-3D with an action expert."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...configuration.language_model_config import check_positive
from ...configuration.vla_errors import ConfigError
from ..image_processors import FixedSizeImageProcessor

# float32 value of each of the 256 grey levels; SigLIP's mean and standard deviation are 0.5 in every channel.
UNIT = (np.arange(256) * (1 / 255)).astype(np.float32)
PIXEL_VALUES = {"siglip": (UNIT - np.float32(0.5)) / np.float32(0.5), "unit": UNIT}


class MapAnythingLlava3DImageProcessor(FixedSizeImageProcessor):
    """Resizes (PIL bicubic) and rescales as SigLIP's published processor does, for any number of views.

    Args:
        size: `{"height": pixels, "width": pixels}` of the model's input.
        patch_size: side in pixels of the vision tower's patches.
        num_views: views of one sample; `None` is any number, the same for all samples of a batch. As an argument and an
            attribute it has the name `num_images_in_input`, too.
        pixel_range: `siglip` gives values in [-1, 1], `unit` in [0, 1]; that of the model's config.

    Raises:
        ConfigError: an argument has the wrong form; the message names it.
    """

    arguments = ("size", "patch_size", "num_views", "pixel_range", "num_images_in_input")

    def __init__(
        self,
        size: Mapping[str, int] | None = None,
        patch_size: int = 14,
        num_views: int | None = None,
        pixel_range: str = "siglip",
        **kwargs: Any,
    ):
        super().__init__(size or {"height": 224, "width": 224}, num_views, **kwargs)
        check_positive("patch_size", patch_size)
        for name, pixels in self.size.items():
            if pixels < patch_size:
                raise ConfigError(f"size[{name!r}]={pixels} holds no patch of patch_size={patch_size}.")
        if pixel_range not in PIXEL_VALUES:
            raise ConfigError(f"pixel_range={pixel_range!r} is unknown; choose from {', '.join(PIXEL_VALUES)}.")
        self.patch_size = patch_size
        self.pixel_range = pixel_range

    @property
    def image_seq_length(self) -> int:
        """Patches of one view: with SigLIP, its number of image tokens."""
        return (self.size["height"] // self.patch_size) * (self.size["width"] // self.patch_size)

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """(3, height, width) uint8 -> float32 in the model's range."""
        return PIXEL_VALUES[self.pixel_range][pixels]
