"""From camera images, one or several views of a scene, to the `pixel_values` of any vision tower of fixed size, or of
two that read the same pictures."""

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
        second_image_mean, second_image_std: the same for a second tower, whose three channels then come behind those of
            the first; `None`: there is one tower.
        num_views: views of one sample; `None` is any number, the same for all samples of a batch. As an argument and an
            attribute it has the name `num_images_in_input`, too.

    Raises:
        ConfigError: an argument has the wrong form; the message names it.
    """

    arguments = (
        *("size", "image_mean", "image_std", "second_image_mean", "second_image_std"),
        *("num_views", "num_images_in_input"),
    )
    second_image_mean = second_image_std = None  # not on disk where there is one tower

    def __init__(
        self,
        size: Mapping[str, int] | None = None,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        num_views: int | None = None,
        second_image_mean: Sequence[float] | None = None,
        second_image_std: Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__({"height": 224, "width": 224} if size is None else size, num_views, **kwargs)
        self.image_mean, self.image_std = _mean_and_std("image", image_mean, image_std)
        if second_image_mean is not None or second_image_std is not None:
            second = _mean_and_std("second_image", second_image_mean, second_image_std)
            self.second_image_mean, self.second_image_std = second

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """(3, height, width) uint8 -> float32 of mean and deviation as given, (3, ...) or, for two towers, (6, ...)."""
        scaled = pixels * np.float32(1 / 255)
        first = _normalized(scaled, self.image_mean, self.image_std)
        if self.second_image_mean is None:
            return first
        return np.concatenate([first, _normalized(scaled, self.second_image_mean, self.second_image_std)])


def _normalized(scaled: np.ndarray, mean: list[float], std: list[float]) -> np.ndarray:
    """scaled: (3, height, width) in 0..1."""
    mean, std = (np.float32(values)[:, None, None] for values in (mean, std))
    return (scaled - mean) / std


def _mean_and_std(name: str, mean: Any, std: Any) -> tuple[list[float], list[float]]:
    mean, std = _three_numbers(f"{name}_mean", mean), _three_numbers(f"{name}_std", std)
    if min(std) <= 0:
        raise ConfigError(f"{name}_std={std} must be above 0.")
    return mean, std


def _three_numbers(name: str, values: Any) -> list[float]:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}={values!r} must be three numbers.") from error
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise ConfigError(f"{name}={values!r} must be three numbers.")
    return numbers.tolist()
