"""What closed loops are compared by, and shown by; nothing here simulates."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image


class Episode(NamedTuple):
    """What a policy did.

    Attributes:
        actions: (steps, action_dim).
        frames: what it saw before each, (height, width, 3) uint8.
        success: whether the task was solved.
    """

    actions: np.ndarray
    frames: list[np.ndarray]
    success: bool


def largest_difference(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> float:
    """Between the actions (steps, action_dim) of the same episodes; infinite where one has more steps than the other.

    Raises:
        ValueError: they are not of the same episodes.
    """
    if set(first) != set(second):
        raise ValueError(f"the episodes differ: {sorted(set(first) ^ set(second))} are in one of two only.")
    if any(first[name].shape != second[name].shape for name in first):
        return float("inf")
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def write_strip(path: Path, frames: list[np.ndarray], count: int = 6, size: int = 160) -> None:
    """A PNG of so many frames of an episode side by side, the first and the last among them."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    images = [Image.fromarray(frames[index]).resize((size, size), Image.Resampling.LANCZOS) for index in chosen]
    strip = Image.new("RGB", (size * len(images), size))
    for column, image in enumerate(images):
        strip.paste(image, (column * size, 0))
    strip.quantize(128).save(path, optimize=True)
