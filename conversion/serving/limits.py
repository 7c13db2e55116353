"""How much one request may bring."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from ...configuration.vla_errors import InputError

ReadImage = Callable[[Any, str], np.ndarray]  # of a value and its name for messages


@dataclass(frozen=True)
class Limits:
    """Attributes:
    body: bytes of a request.
    images: in one observation.
    pixels: of one image.
    timeout: seconds from a request to its answer.
    """

    body: int = 32 * 10**6
    images: int = 16
    pixels: int = 3840 * 2160
    timeout: float = 30.0

    def counting(self, read: ReadImage) -> ReadImage:
        """A reader for one observation, which raises InputError before it reads more images than may be."""
        number = count(1)

        def counted(value: Any, where: str) -> np.ndarray:
            if next(number) > self.images:
                raise InputError(f"{where}: at most {self.images} images of an observation are read.")
            return read(value, where)

        return counted

    def check_pixels(self, width: int, height: int, where: str) -> None:
        """Raises InputError for an image that is too large to be decoded."""
        if width * height > self.pixels:
            raise InputError(f"{where} has {height} x {width} pixels; at most {self.pixels} are read: resize it first.")


def image_array(value: np.ndarray, where: str, limits: Limits) -> np.ndarray:
    """(height, width, 3) uint8 from the same or from (3, height, width).

    Raises:
        InputError: it is another array.
    """
    if value.dtype != np.uint8 or value.ndim != 3 or 3 not in (value.shape[0], value.shape[-1]) or 0 in value.shape:
        scaled = "; scale it to 0..255 and convert it to uint8" if value.dtype.kind == "f" else ""
        raise InputError(
            f"{where} is {value.dtype} of shape {value.shape}; an image is uint8 of shape (height, width, 3) or (3, "
            f"height, width){scaled}."
        )
    upright = value if value.shape[-1] == 3 else value.transpose(1, 2, 0)
    limits.check_pixels(upright.shape[1], upright.shape[0], where)
    return np.ascontiguousarray(upright)
