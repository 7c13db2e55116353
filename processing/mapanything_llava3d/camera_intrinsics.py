"""Camera matrices (pixels) brought from the size of the camera's image to the size that the model reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...configuration.vla_errors import ConfigError, InputError
from ..sample_inputs import finite_numbers

ACCEPTED = "(3, 3), (views, 3, 3) or (batch, views, 3, 3)"


def checked_intrinsic_config(intrinsic_config: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """`{key: {"intrinsic": 3 x 3 numbers, "width": pixels, "height": pixels}}` in plain values, for JSON.

    Raises ConfigError for an entry of another form, with its key.
    """
    checked = {}
    for key, entry in (intrinsic_config or {}).items():
        if not isinstance(entry, Mapping) or not {"intrinsic", "width", "height"} <= set(entry):
            raise ConfigError(f"intrinsic_config[{key!r}] must hold 'intrinsic', 'width' and 'height', got {entry!r}.")
        matrix = np.asarray(entry["intrinsic"], dtype=np.float64)
        if matrix.shape != (3, 3):
            raise ConfigError(f"intrinsic_config[{key!r}]['intrinsic'] must be (3, 3), got shape {matrix.shape}.")
        if not min(entry["width"], entry["height"]) > 0:
            raise ConfigError(f"intrinsic_config[{key!r}]: width and height must be above 0 pixels, got {entry!r}.")
        checked[key] = {"intrinsic": matrix.tolist(), "width": entry["width"], "height": entry["height"]}
    return checked


def find_intrinsic(intrinsic_config: Mapping[str, Any], unnorm_key: str | None) -> Mapping[str, Any] | None:
    """The entry of one dataset's camera, or else the one called 'default'; without a key the only one there is.

    `None` where there is no such entry: the camera of another dataset is never taken instead.
    """
    if unnorm_key is None and len(intrinsic_config) == 1:
        return next(iter(intrinsic_config.values()))
    return intrinsic_config.get(unnorm_key, intrinsic_config.get("default"))


def find_intrinsics(
    intrinsic_config: Mapping[str, Any], unnorm_key: str | Sequence[str] | None, batch_size: int
) -> list[Mapping[str, Any]] | None:
    """The camera of each sample; `None` where no sample has one.

    unnorm_key: of all samples, or a list with one for each. Raises InputError where some samples have a camera and
    others not.
    """
    keys = unnorm_key if isinstance(unnorm_key, (list, tuple)) else [unnorm_key] * batch_size
    cameras = [find_intrinsic(intrinsic_config, key) for key in keys]
    if all(camera is None for camera in cameras):
        return None
    if None in cameras:
        raise InputError(
            f"intrinsic_config has no camera for {keys[cameras.index(None)]!r}, but for others of the batch: pass "
            "intrinsic, or put these samples into another batch."
        )
    return cameras


def resized_intrinsics(
    intrinsic: Any,
    intrinsic_config: Mapping[str, Any],
    unnorm_key: str | Sequence[str] | None,
    samples: list[list[np.ndarray]],
    size: Mapping[str, int],
) -> torch.Tensor | None:
    """Camera matrices of resized images, (batch, views, 3, 3) float32; `None` where no camera is known.

    Args:
        intrinsic: as in `scaled_intrinsics`; `None`: those of `intrinsic_config` for `unnorm_key`.
        samples: views (height, width, 3) as they were taken.
        size: "height" and "width" in pixels after resizing.
    """
    sizes = [[view.shape[:2] for view in sample] for sample in samples]
    if intrinsic is None:
        cameras = find_intrinsics(intrinsic_config, unnorm_key, len(samples))
        if cameras is None:
            return None
        views = len(samples[0])
        intrinsic = [[camera["intrinsic"]] * views for camera in cameras]
        sizes = [[(camera["height"], camera["width"])] * views for camera in cameras]
    return scaled_intrinsics(intrinsic, sizes, size)


def scaled_intrinsics(
    intrinsic: Any, image_sizes: list[list[tuple[int, int]]], size: Mapping[str, int]
) -> torch.Tensor:
    """Camera matrices of resized images: (batch, views, 3, 3) float32.

    The first row (fx, skew, cx) grows with the width, the second (fy, cy) with the height.

    Args:
        intrinsic: (3, 3) for all views, (views, 3, 3) for all samples, or (batch, views, 3, 3); in pixels.
        image_sizes: height and width in pixels of each image as it was taken, samples of views.
        size: "height" and "width" in pixels after resizing.

    Raises:
        InputError: the matrices have another shape or are not finite.
    """
    matrices = finite_numbers("intrinsic", intrinsic, ACCEPTED)
    height, width = torch.tensor(image_sizes, dtype=torch.float32).unbind(-1)  # (batch, views) each
    wanted = (*height.shape, 3, 3)
    if tuple(matrices.shape) not in (wanted, wanted[1:], wanted[2:]):
        raise InputError(
            f"intrinsic has shape {tuple(matrices.shape)}; accepted is {ACCEPTED} with batch {wanted[0]} and "
            f"views {wanted[1]}."
        )
    factors = torch.stack([size["width"] / width, size["height"] / height, torch.ones_like(width)], -1)
    return matrices * factors.unsqueeze(-1)
