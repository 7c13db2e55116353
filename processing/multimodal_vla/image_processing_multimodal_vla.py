"""From camera images, one or several views of a scene, to the `pixel_values` of any vision tower of fixed size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...configuration.vla_errors import ConfigError
from ..image_processors import FixedSizeImageProcessor


class MultimodalVLAImageProcessor(FixedSizeImageProcessor):
    """Resizes to one size (PIL bicubic, no crop) and normalises, as the published processors of vision towers do.

    Args:
        size: `{"height": pixels, "width": pixels}` of the model's input.
        image_mean, image_std: one value per RGB channel, for pixels in 0..1; those the tower was trained with.
        num_views: views of one sample; `None` is any number, the same for all samples of a batch. As an argument and an
            attribute it has the name `num_images_in_input`, too.

    Raises:
        ConfigError: an argument has the wrong form; the message names it.
    """

    arguments = ("size", "image_mean", "image_std", "num_views", "num_images_in_input")

    def __init__(
        self,
        size: Mapping[str, int] | None = None,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        num_views: int | None = None,
        **kwargs: Any,
    ):
        super().__init__({"height": 224, "width": 224} if size is None else size, num_views, **kwargs)
        self.image_mean = _three_numbers("image_mean", image_mean)
        self.image_std = _three_numbers("image_std", image_std)
        if min(self.image_std) <= 0:
            raise ConfigError(f"image_std={self.image_std} must be above 0.")

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """(3, height, width) uint8 -> float32, of mean and deviation as given."""
        mean, std = (np.float32(values)[:, None, None] for values in (self.image_mean, self.image_std))
        return (pixels * np.float32(1 / 255) - mean) / std


def _three_numbers(name: str, values: Any) -> list[float]:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}={values!r} must be three numbers.") from error
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise ConfigError(f"{name}={values!r} must be three numbers.")
    return numbers.tolist()
