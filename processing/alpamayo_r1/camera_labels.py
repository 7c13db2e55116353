"""What Alpamayo 1.5's prompts say before each image: which camera it is of, and its number among that camera's frames.

The model was trained with them and with cameras in the order of their numbers; R1 was trained without. Published form:
NVlabs/alpamayo1.5, helper.py (`_build_image_content`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from ...configuration.vla_errors import InputError

logger = logging.get_logger(__name__)

CAMERAS = {  # of PhysicalAI-AV: the number of each camera, in whose order a model sees them
    "camera_cross_left_120fov": 0,
    "camera_front_wide_120fov": 1,
    "camera_cross_right_120fov": 2,
    "camera_rear_left_70fov": 3,
    "camera_rear_tele_30fov": 4,
    "camera_rear_right_70fov": 5,
    "camera_front_tele_30fov": 6,
}
NAMES = (
    "Front left camera",
    "Front camera",
    "Front right camera",
    "Rear left camera",
    "Rear camera",
    "Rear right camera",
    "Front telephoto camera",
)


def camera_name(index: int) -> str:
    """As prompts name the camera of a number."""
    return NAMES[index] if index < len(NAMES) else f"Camera {index}"


def labels_before(indices: Sequence[int], frames: Sequence[int]) -> list[str]:
    """The text before each image. indices: of the cameras; frames: how many of each, the oldest first."""
    labels = []
    for index, count in zip(indices, frames, strict=True):
        labels += [f"frame {number} " for number in range(count)]
        labels[len(labels) - count] = f"{camera_name(index)}: {labels[len(labels) - count]}"
    return labels


def read_indices(camera_indices: Any, batch_size: int) -> list[list[int] | None]:
    """The numbers of the cameras of each sample, `None` where there are none.

    camera_indices: (cameras,) for all samples, or a list or (batch, cameras) with one for each; `None`.

    Raises:
        InputError: another form, a number that is none of a camera, or one that is there twice.
    """
    if camera_indices is None:
        return [None] * batch_size
    given = camera_indices.tolist() if isinstance(camera_indices, (torch.Tensor, np.ndarray)) else camera_indices
    if not isinstance(given, (list, tuple)) or not given:
        raise InputError(f"camera_indices is {camera_indices!r:.80}; a list with the number of each camera is needed.")
    rows = [row.tolist() if isinstance(row, (torch.Tensor, np.ndarray)) else row for row in given]
    nested = any(isinstance(row, (list, tuple)) for row in rows)
    rows = rows if nested else [rows] * batch_size
    if len(rows) != batch_size:
        raise InputError(f"camera_indices holds the cameras of {len(rows)} samples, the batch {batch_size} samples.")
    return [checked_indices(row) for row in rows]


def checked_indices(row: Any) -> list[int]:
    """Raises InputError as `read_indices` does."""
    if not isinstance(row, (list, tuple)) or not row:
        raise InputError(f"camera_indices holds {row!r:.80}; a list with the number of each camera is needed.")
    for index in row:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or index < 0:
            raise InputError(f"camera_indices holds {index!r}; a camera's number is 0 or above (6 is the front tele).")
    if len(set(row)) < len(row):
        raise InputError(f"camera_indices={list(row)} holds a camera twice.")
    return [int(index) for index in row]


def frames_of_cameras(images: Any, cameras: int, told_by: str = "camera_indices") -> list[int]:
    """How many frames of each camera there are in the images of one sample, in any form that is read.

    told_by: what has the number of cameras, for messages.

    Raises:
        InputError: images are grouped as those of another number of cameras, or are not as many of each camera.
    """
    entries = parts_of(images)
    while len(entries) == 1 and is_group(entries[0]):  # a sample in a batch of one, or one camera
        entries = parts_of(entries[0])
    if any(map(is_group, entries)):
        counts = [count_of(entry) for entry in entries]
        if len(entries) != cameras or 0 in counts:
            raise InputError(f"images has {len(entries)} cameras, with {counts} frames, {told_by} {cameras}.")
        return counts
    if not entries or len(entries) % cameras:
        raise InputError(
            f"images has {len(entries)} frames in a row, {told_by} {cameras} cameras: as many of each are needed."
        )
    return [len(entries) // cameras] * cameras


def is_group(images: Any) -> bool:
    """Whether it is a list, or a stack, of images or of more lists."""
    return isinstance(images, (list, tuple)) or getattr(images, "ndim", 0) > 3


def parts_of(images: Any) -> list[Any]:
    return list(images) if is_group(images) else [images]


def count_of(images: Any) -> int:
    """How many images are in it."""
    return sum(map(count_of, parts_of(images))) if is_group(images) else 1


def recorded_indices(view_names: Sequence[str] | None) -> list[int] | None:
    """The numbers of cameras that a checkpoint records by their names in PhysicalAI-AV, `None` where it does not."""
    numbers = [CAMERAS.get(name.lower()) for name in view_names or ()]
    return None if not numbers or None in numbers else numbers


def warn_of_unnamed() -> None:
    """Said once where a model that was trained with names of cameras gets a prompt without."""
    logger.warning_once(
        "This checkpoint was trained with the names of cameras in its prompts (camera_labels), and this one has none: "
        "pass camera_indices, the number of each camera in order (of the release's four: [0, 1, 2, 6])."
    )
