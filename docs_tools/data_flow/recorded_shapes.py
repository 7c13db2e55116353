"""The shapes that go through the parts of a model while it predicts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        inputs, outputs: shapes of all tensors, in order, however they are nested.
        words: arguments given by name, as they were.
    """

    inputs: list[tuple[int, ...]]
    outputs: list[tuple[int, ...]]
    words: dict[str, Any]


@contextmanager
def recorded(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, list[Call]]]:
    """`{name: calls}` of the named parts, filled while the model runs."""
    calls: dict[str, list[Call]] = {name: [] for name in names}

    def watch(name: str):
        def hook(module, positional, words, output):
            given = [*positional, *words.values()]
            calls[name].append(Call(list(shapes(given)), list(shapes(output)), words))

        return model.get_submodule(name).register_forward_hook(hook, with_kwargs=True)

    hooks = [watch(name) for name in names]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def shapes(value: Any) -> Iterator[tuple[int, ...]]:
    """Of all tensors in nested tuples, lists and dicts, among them transformers' outputs."""
    if isinstance(value, torch.Tensor):
        yield tuple(value.shape)
    elif isinstance(value, dict):
        yield from shapes(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from shapes(each)


def size_of(*modules: nn.Module | None) -> str:
    """Parameters, as `7.54 B parameters`."""
    return counted(sum(p.numel() for module in modules if module is not None for p in module.parameters()))


def counted(number: int) -> str:
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g} {name} parameters"
    return f"{number} parameters"
