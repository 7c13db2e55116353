"""Entries of the examples of a batch, checked and stacked; every error names the example and its entry."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..configuration.vla_errors import InputError
from ..processing.sample_inputs import finite_numbers, read_samples

Augment = Callable[[Image.Image], Image.Image]
Example = Mapping[str, Any]


def entries(examples: Sequence[Example], name: str) -> list[Any]:
    """The entry `name` of every example. Raises InputError where one has none, and where there is no example."""
    if isinstance(examples, Mapping) or not all(isinstance(example, Mapping) for example in examples):
        raise InputError(
            f"a collator takes a list of examples, a dict of entries each; got a {type(examples).__name__}"
            f"{'' if isinstance(examples, Mapping) else f' with a {kind_of_stranger(examples)}'}."
        )
    if not examples:
        raise InputError("a collator got no examples: is the dataset empty?")
    for i, example in enumerate(examples):
        if example.get(name) is None:
            raise InputError(
                f"examples[{i}] has no {name!r}; its entries are {', '.join(sorted(example))} (a Trainer takes entries "
                "away unless remove_unused_columns=False)."
            )
    return [example[name] for example in examples]


def kind_of_stranger(examples: Sequence[Any]) -> str:
    """The type of the first that is no example."""
    return next(type(example).__name__ for example in examples if not isinstance(example, Mapping))


def texts(examples: Sequence[Example], name: str, default: str | None = None) -> list[str]:
    """The entry `name` of every example, or the default where it has none.

    Raises:
        InputError: it is no string, or it is missing and there is no default.
    """
    if default is not None:
        examples = [{name: default} if example.get(name) is None else example for example in examples]
    found = entries(examples, name)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise InputError(f"examples[{i}][{name!r}] is a {type(text).__name__}; a string is needed.")
    return found


def numbers(
    examples: Sequence[Example], name: str, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """The entry `name` of every example, (batch, *shape) of `dtype`.

    Raises:
        InputError: an entry is missing, has another shape, or holds values that are not finite numbers.
    """
    shape, rows = tuple(shape), []
    for i, value in enumerate(entries(examples, name)):
        where = f"examples[{i}][{name!r}]"
        row = finite_numbers(where, value, f"of shape {shape}", dtype)
        if tuple(row.shape) != shape:
            raise InputError(f"{where} has shape {tuple(row.shape)}; {shape} is needed.")
        rows.append(row)
    return torch.stack(rows)


def given_numbers(examples: Sequence[Example], shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """`{name: (batch, *shape) float32}` of those entries that the examples have: all of a batch, or none.

    Raises:
        InputError: some examples have the entry and others not, or as in `numbers`.
    """
    found = {}
    for name, shape in shapes.items():
        missing = [i for i, example in enumerate(examples) if example.get(name) is None]
        if missing and len(missing) < len(examples):
            raise InputError(f"examples[{missing[0]}] has no {name!r}, but others of the batch have; give all or none.")
        if not missing:
            found[name] = numbers(examples, name, shape)
    return found


def flags(examples: Sequence[Example], name: str, size: int) -> dict[str, torch.Tensor]:
    """`{name: (batch, size) bool}` if any example has the entry, false for one that has not.

    Raises:
        InputError: an entry has another shape, or holds anything but truth values.
    """
    rows = []
    for i, example in enumerate(examples):
        value = np.zeros(size, dtype=bool) if example.get(name) is None else np.asarray(example[name])
        if value.shape != (size,) or not np.isin(value, (0, 1)).all():
            raise InputError(f"examples[{i}][{name!r}] is {value.tolist()!r}; {size} truth values are needed.")
        rows.append(torch.from_numpy(value.astype(bool)))
    return {name: torch.stack(rows)} if any(example.get(name) is not None for example in examples) else {}


def sample_weights(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """`{"sample_weight": (batch,) float32}`, what each example weighs in the losses; empty where none says it.

    Raises:
        InputError: some examples have the entry and others not, or one is no finite number of 0 or more.
    """
    found = given_numbers(examples, {"sample_weight": ()})
    if found:
        check_range("sample_weight", found["sample_weight"], 0, float("inf"))
    return found


def advantages(examples: Sequence[Example]) -> dict[str, list[str | None]]:
    """`{"advantage": the word of each example}` for a processor's call; empty where none has one."""
    words = [example.get("advantage") for example in examples]
    return {"advantage": words} if any(word is not None for word in words) else {}


def embodiments(examples: Sequence[Example], count: int) -> dict[str, list[int]]:
    """`{"embodiment_id": that of each example}` for a processor's call; empty where there is one embodiment.

    Raises:
        InputError: an entry is missing, or no whole number below `count`.
    """
    if count == 1:
        return {}
    ids = numbers(examples, "embodiment_id", ())
    check_range("embodiment_id", ids, 0, count - 1)
    if (ids != ids.floor()).any():
        raise InputError(f"the examples' 'embodiment_id' must be whole numbers, got {ids.tolist()}.")
    return {"embodiment_id": ids.long().tolist()}


def check_range(name: str, values: torch.Tensor, least: float, greatest: float) -> None:
    """Refuse values (batch,) of the entry `name` that lie outside of `least`..`greatest`."""
    outside = ((values < least) | (values > greatest)).nonzero().flatten().tolist()
    if outside:
        row = outside[0]
        raise InputError(f"examples[{row}][{name!r}] is {values[row]:g}; {least} to {greatest} is possible.")


def views(examples: Sequence[Example], augment: Augment | None, view_names: Sequence[str] | None = None) -> list[Any]:
    """The images of every example as its processor reads them, each through `augment`.

    Raises:
        InputError: images are missing or not a list or dict; with `augment` also for what is no image.
    """
    samples = entries(examples, "images")
    for i, sample in enumerate(samples):
        if not isinstance(sample, (list, tuple, Mapping)):
            raise InputError(f"examples[{i}]['images'] is a {type(sample).__name__}; a list or a dict is needed.")
    if augment is None:
        return samples
    return [[augment(Image.fromarray(view)) for view in sample] for sample in read_samples(samples, None, view_names)]
