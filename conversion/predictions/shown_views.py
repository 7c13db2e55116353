"""Camera views for a picture: as a model saw them, brought back to RGB, and what they are called."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...configuration.view_names import short_name
from ...processing.sample_inputs import FIRST_VIEW_NAMES, pair_samples, read_samples


def rgb_of(pixels: torch.Tensor, mean: Any, std: Any) -> list[np.ndarray]:
    """(height, width, 3) uint8 of each view.

    pixels: (views, 3, height, width), normalised from 0..1 by mean and standard deviation, a number a channel or one.
    """
    mean, std = (np.asarray(values, dtype=np.float32).reshape(1, -1, 1, 1) for values in (mean, std))
    values = (pixels.detach().float().cpu().numpy() * std + mean).clip(0, 1)
    return list(np.rint(values * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def given_views(processor: Any, images: Any, text: str) -> list[np.ndarray]:
    """(height, width, 3) uint8 of each view as it was given, in the order in which the model sees them."""
    samples, _ = pair_samples(images, text)
    return read_samples(samples, processor.image_processor.num_images_in_input, processor.view_names)[0]


def names_of_views(view_names: Any, images: Any, count: int) -> list[str]:
    """A name for each of `count` views: what the checkpoint records, the names of a dict, or numbers."""
    if view_names:
        return list(view_names)
    if isinstance(images, Mapping):
        names = [short_name(str(name)) for name in images]
        return sorted(names, key=lambda name: name not in FIRST_VIEW_NAMES)
    return [f"view {number}" for number in range(count)]
