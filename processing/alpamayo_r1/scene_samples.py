"""The samples of a call of Alpamayo-R1's processor: images, labels of cameras and request of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature

from ...configuration.vla_errors import InputError
from ..prompts import padded
from ..sample_inputs import checked_texts, named_in_order
from .camera_labels import frames_of_cameras, labels_before, read_indices, recorded_indices, warn_of_unnamed


def split_samples(images: Any, batch_size: int, view_names: Sequence[str] | None, beside: str) -> list[Any]:
    """The images of each sample; with one sample all that there are, in any nesting. beside: whose entries are counted.

    Raises InputError for another number of entries.
    """
    if batch_size == 1:
        return [in_order(images, view_names)]
    if not hasattr(images, "__len__") or len(images) != batch_size:
        count = f"{len(images)} samples" if hasattr(images, "__len__") else type(images).__name__
        raise InputError(f"images holds {count}, {beside} {batch_size}; give one entry for each.")
    return [in_order(sample, view_names) for sample in images]


def in_order(sample: Any, view_names: Sequence[str] | None) -> Any:
    """A dict of cameras as the list of their frames, in the order of training; other forms as they are."""
    if not isinstance(sample, Mapping):
        return sample
    if view_names is None:
        raise InputError(
            f"images has the cameras {list(sample)}, but this checkpoint records no view_names: give a list, "
            "camera by camera as in training."
        )
    return [frames for _, frames in named_in_order(sample, view_names)]


def requests_of(text: str | Sequence[str] | None, default: str, batch_size: int) -> list[str]:
    """One request for each sample. Raises InputError for another number of them."""
    texts = checked_texts(default if text is None else text)
    if text is None or isinstance(text, str):
        return texts * batch_size
    if len(texts) != batch_size:
        raise InputError(f"text holds {len(texts)} requests, ego_history_xyz {batch_size} samples.")
    return texts


def labels_of(
    images: Any, samples: Sequence[Any], camera_indices: Any, view_names: Sequence[str] | None, by_default: bool
) -> list[list[str]]:
    """What stands before each image of each sample; nothing where no cameras are known by number.

    images, samples: as given, and of `split_samples`; by_default: the model was trained with names of cameras; then
    `view_names` tell them where a caller does not. Raises InputError as `read_indices`, `check_named` and
    `frames_of_cameras` do.
    """
    numbers, told_by = read_indices(camera_indices, len(samples)), "camera_indices"
    for given, indices in zip([images] if len(samples) == 1 else images, numbers, strict=True):
        if isinstance(given, Mapping) and indices is not None:
            check_named(indices, view_names)
    if camera_indices is None and by_default:
        numbers, told_by = [recorded_indices(view_names)] * len(samples), "no camera_indices, and view_names"
        if None in numbers:
            warn_of_unnamed()
    return [
        [] if indices is None else labels_before(indices, frames_of_cameras(sample, len(indices), told_by))
        for sample, indices in zip(samples, numbers, strict=True)
    ]


def check_named(indices: Sequence[int], view_names: Sequence[str]) -> None:
    """Refuse other numbers for a dict of cameras than its names have, in the order of training, which it is put in.

    Raises InputError with both.
    """
    known = recorded_indices(view_names)
    if known is not None and list(indices) != known:
        raise InputError(
            f"camera_indices={list(indices)}, but the cameras of a dict are put in the order of view_names, which have "
            f"the numbers {known}: leave camera_indices out, or give a list of cameras."
        )


def as_batch(
    rows: list[list[int]],
    pixels: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    side: str,
    return_tensors: str | None,
    more: Mapping[str, np.ndarray] | None = None,
) -> BatchFeature:
    """Prompts as ids, padded on a side; pixels: of each sample, empty where it has none; more: goes with them."""
    data = padded(rows, tokenizer, side)
    for name in ("pixel_values", "image_grid_thw") if any(pixels) else ():
        data[name] = np.concatenate([sample[name] for sample in pixels if sample])
    return BatchFeature(data | dict(more or {}), tensor_type=return_tensors)
