"""The forms in which a caller may give images, texts and numbers, sorted into samples and checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..configuration.view_names import short_name
from ..configuration.vla_errors import InputError
from .image_reader import check_size, read_pil_image

FIRST_VIEW_NAMES = ("primary", "full_image")
ACCEPTED = "a PIL image, a uint8 array (height, width, 3) or a uint8 tensor (height, width, 3) or (3, height, width)"
TENSORS = ("pt", "np", None)


def pair_samples(images: Any, text: str | Sequence[str]) -> tuple[list[Any], list[str]]:
    """One sample of images for each text: a single string goes with one sample, a list of strings with a batch.

    In the order of OpenVLA's processor, text before images, the two are exchanged.

    Returns the samples, each a list or dict of views, and the texts. Raises InputError where they are not as many, and
    for a text that is none.
    """
    if is_text(images) and not is_text(text):
        images, text = text, images
    texts = checked_texts(text)
    if images is None or isinstance(images, (str, bytes, bool, int, float)):
        kind = type(images).__name__
        forms = f"{ACCEPTED}, a list of these, or a dict of name -> image"
        raise InputError(f"images: got {kind}, accepted is {forms}{remedy(images)}.")
    if isinstance(text, str):
        return [images if isinstance(images, (list, tuple, Mapping)) else [images]], texts
    is_many = isinstance(images, (list, tuple)) or (hasattr(images, "ndim") and images.ndim == 4)
    if not is_many:
        raise InputError(f"images is a {type(images).__name__}; for a list of texts give a list of samples.")
    samples = list(images)
    if len(samples) != len(texts):
        raise InputError(
            f"images holds {len(samples)} samples, text {len(texts)}; they must be as many. Views of one sample are "
            "a list of their own, or go with a text that is a string."
        )
    return [s if isinstance(s, (list, tuple, Mapping)) else [s] for s in samples], texts


def read_samples(images: Any, num_views: int | None, view_names: Sequence[str] | None = None) -> list[list[np.ndarray]]:
    """Sort what was given into samples and every image into a uint8 array (height, width, 3).

    Args:
        images: one sample is an image, a list of images or a dict of name -> image; a batch is a list of such lists or
            dicts. A dict names its first view 'primary' or 'full_image'; the others follow in the dict's order.
        num_views: views of one sample; with 1, a flat list of images is a batch. `None`: any number, the same in all.
        view_names: the names in the order of training, where a checkpoint records them: a dict has these and no others,
            with or without LeRobot's "observation.images." before them, and is put in this order.

    Raises:
        InputError: an image of another form, a wrong number of views, or a dict without a first view.
    """
    samples = [images]
    if isinstance(images, (list, tuple)):
        nested = [isinstance(entry, (list, tuple, Mapping)) for entry in images]
        if not images or any(nested) != all(nested):
            raise InputError(f"images must be all single images, all lists or all dicts, got {_kinds(images)}")
        if nested[0] or num_views == 1:
            samples = list(images)
    named = [_named_views(sample, view_names) for sample in samples]
    num_views = len(view_names) if view_names and num_views is None else num_views
    expected = max(len(named[0]), 1) if num_views is None else num_views
    for i, sample in enumerate(named):
        if len(sample) != expected:
            reason = ", as many as sample 0 has" if num_views is None and i else ""
            raise InputError(
                f"sample {i} has {len(sample)} images, expected {expected}{reason}; give one image for each view."
            )
    return [[_to_array(view, f"sample {i}, {name}") for name, view in sample] for i, sample in enumerate(named)]


def named_in_order(sample: Mapping[str, Any], view_names: Sequence[str]) -> list[tuple[str, Any]]:
    """Name and image (or frames) of each view in the order of `view_names`.

    Raises:
        InputError: the names are not these; both lists are in the message.
    """
    found = {short_name(str(name)): view for name, view in sample.items()}
    if set(found) != set(view_names) or len(found) < len(sample):
        raise InputError(
            f"images has the views {list(sample)}; this checkpoint was trained with {list(view_names)}, and needs each "
            "of them and no others."
        )
    return [(name, found[name]) for name in view_names]


def _named_views(sample: Any, view_names: Sequence[str] | None) -> list[tuple[str, Any]]:
    """The views of one sample with a name for messages; of a dict the first view comes first."""
    if not isinstance(sample, Mapping):
        views = sample if isinstance(sample, (list, tuple)) else [sample]
        return [(f"image {i}", view) for i, view in enumerate(views)]
    if view_names is not None:
        return [(f"image {name!r}", view) for name, view in named_in_order(sample, view_names)]
    first = [name for name in sample if short_name(str(name)) in FIRST_VIEW_NAMES]
    if len(first) != 1:
        raise InputError(f"a dict of images needs exactly one of {list(FIRST_VIEW_NAMES)}, got {list(sample)}")
    return [(f"image {name!r}", sample[name]) for name in first + [name for name in sample if name not in first]]


def remedy(image: Any) -> str:
    """How what is often given becomes an image; nothing for anything else."""
    if isinstance(image, (str, bytes)):
        return "; open a file first: PIL.Image.open(path)"
    kind = str(getattr(image, "dtype", ""))
    return "; scale it to 0..255 and convert it to uint8" if "float" in kind else ""


def _to_array(image: Any, where: str) -> np.ndarray:
    """Bring one image to a uint8 array (height, width, 3). Raises InputError for anything that is not an image."""
    if isinstance(image, Image.Image):
        return read_pil_image(image, where)
    if isinstance(image, torch.Tensor) and image.dtype == torch.uint8:
        channels_first = image.ndim == 3 and image.shape[0] == 3 and image.shape[-1] != 3
        image = (image.permute(1, 2, 0) if channels_first else image).cpu().numpy()
    if not isinstance(image, (np.ndarray, torch.Tensor)):
        raise InputError(f"{where}: got {type(image).__name__}, accepted is {ACCEPTED}{remedy(image)}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        got = f"{image.dtype} of shape {tuple(image.shape)}"
        raise InputError(f"{where}: got {got}, accepted is {ACCEPTED}{remedy(image)}")
    check_size(image.shape[1], image.shape[0], where)
    return np.ascontiguousarray(image)


def _kinds(images: Any) -> list[str]:
    return sorted({type(entry).__name__ for entry in images}) or ["an empty list"]


def is_text(value: Any) -> bool:
    """Whether it is a string, or a list of strings that is not empty."""
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(isinstance(entry, str) for entry in value)
    return isinstance(value, str)


def checked_texts(text: Any, name: str = "text") -> list[str]:
    """One string or a list of strings -> the list.

    Raises:
        InputError: it is neither, the list is empty, or a string holds half of a surrogate pair, which is no character.
    """
    if not is_text(text):
        raise InputError(f"{name} is {shown(text)}; a string, or for a batch a list of strings, is needed.")
    texts = [text] if isinstance(text, str) else list(text)
    for i, entry in enumerate(texts):
        try:
            entry.encode("utf-8")
        except UnicodeEncodeError as error:
            where = name if isinstance(text, str) else f"{name}[{i}]"
            raise InputError(
                f"{where} holds {entry[error.start]!a} at place {error.start}, half of a character (a lone surrogate): "
                "decode the text anew, or leave it out."
            ) from error
    return texts


def check_return_tensors(return_tensors: str | None) -> None:
    """Refuse other kinds of tensors than torch's and numpy's."""
    if return_tensors not in TENSORS:
        raise InputError(f"return_tensors={return_tensors!r} is unknown; choose from 'pt' (torch) and 'np' (numpy).")


def shown(value: Any) -> str:
    """A value for a message: its type, and itself where that is short."""
    text = repr(value) if value is None or isinstance(value, (bool, int, float, str, Sequence)) else ""
    kind = type(value).__name__
    return "None" if value is None else f"a {kind} ({text})" if 0 < len(text) <= 80 else f"a {kind}"


def whole_numbers(name: str, value: Any, batch_size: int) -> np.ndarray:
    """(batch,) int64 from one whole number for all samples, or one for each. Raises InputError for anything else."""
    array = np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value)
    if array.dtype.kind not in "iu" or array.shape not in ((), (batch_size,)):
        raise InputError(f"{name} is {value!r}; a whole number, or {batch_size} of them for the batch, is needed.")
    return np.broadcast_to(array, (batch_size,)).astype(np.int64)


def on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu()


def of_array(value: Any) -> torch.Tensor:
    """A copy: torch takes no array that is backwards or of the other byte order, and warns of one that is read-only."""
    array = np.array(of_tensors(value))
    return torch.as_tensor(array.astype(array.dtype.newbyteorder("=")))


def of_tensors(value: Any) -> Any:
    """A list with tensors in it, on any device, as one of arrays; anything else as it is."""
    if not isinstance(value, (list, tuple)):
        return value
    return [on_cpu(v).double().numpy() if isinstance(v, torch.Tensor) else of_tensors(v) for v in value]


def finite_numbers(name: str, value: Any, form: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The value as a tensor of `dtype` and any shape, on the CPU and without a gradient.

    Raises InputError unless it holds real numbers that are finite in float32, in which models compute.
    """
    try:
        numbers = on_cpu(value) if isinstance(value, torch.Tensor) else of_array(value)
        if numbers.is_complex() or numbers.dtype == torch.bool:
            raise TypeError(f"{numbers.dtype} is no real number")
        numbers = numbers.to(dtype)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"{name} must be numbers, {form}: {error}") from error
    if not numbers.float().isfinite().all():
        raise InputError(f"{name} holds values that are not finite: {numbers.tolist()}.")
    return numbers
