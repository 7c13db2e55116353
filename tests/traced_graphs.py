"""CUDA graphs on a CPU: what a core does to tensors is recorded, and nothing but that is done again.

As on a card, what Python decides is decided once; inputs are copied into the memory that was recorded with, and buffers
are used where they are; a core that asks for a number, makes a tensor of one, or draws, cannot be recorded.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from vlahub.modeling.captured_graphs import WARM_UP_RUNS, GraphMemory, copied, with_tensors

FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal", "is_nonzero", "bincount")
FORBIDDEN += ("_unique", "_unique2", "unique_dim", "unique_consecutive", "_linalg_check_errors")


class NotRecordable(RuntimeError):
    """What a card would have refused."""


class NumbersOfTheHost(TorchFunctionMode):
    """Knows a `torch.tensor(number)` without a device: on a card it is no tensor there, but a number in a kernel, and
    may be recorded (Gemma of transformers 4 has one)."""

    is_made = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.is_made = func is torch.tensor and isinstance(args[0], (int, float)) and kwargs.get("device") is None
        try:
            return func(*args, **kwargs)
        finally:
            self.is_made = False


class Recorder(TorchDispatchMode):
    """Writes down operations, their arguments and their results."""

    def __init__(self, numbers: NumbersOfTheHost):
        super().__init__()
        self.numbers = numbers
        self.steps: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().split("::")[1].split(".")[0].rstrip("_")
        # Attention is marked as random for its dropout, of which a prediction has none.
        is_random = torch.Tag.nondeterministic_seeded in func.tags and "attention" not in name
        is_number = name == "lift_fresh" and self.numbers.is_made
        if (name in FORBIDDEN and not is_number) or is_random or has_shape_of_values(func, args, kwargs or {}):
            raise NotRecordable(f"{func.name()} in a graph")
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result


def has_shape_of_values(func: Any, args: tuple, kwargs: dict) -> bool:
    """Whether how large a result is depends on numbers: an index of bools, repetitions by a tensor of counts."""
    if func.name().startswith(("aten::index.", "aten::index_put", "aten::_index_put")):
        return any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1])
    return func.name() == "aten::repeat_interleave.Tensor" and kwargs.get("output_size") is None


class TracedGraph:
    """Stands in for `CapturedGraph`."""

    def __init__(self, function: Callable[[Any], Any], inputs: Any, kept: Any, memory: GraphMemory):
        self.kept, self.inputs = kept, copied(inputs)
        for _ in range(WARM_UP_RUNS):
            function(self.inputs)
        with NumbersOfTheHost() as numbers, Recorder(numbers) as recorder:
            self.outputs = function(self.inputs)
        self.steps = recorder.steps

    def __call__(self, inputs: Any) -> Any:
        for static, given in zip(with_tensors(self.inputs), with_tensors(inputs), strict=True):
            static.copy_(given)
        for func, args, kwargs, result in self.steps:
            replay(func, args, kwargs, result)
        return copied(self.outputs)


def replay(func: Any, args: tuple, kwargs: dict, result: Any) -> None:
    """Do it again, and put the numbers where they were put at first; a view is where it was."""
    found = func(*args, **kwargs)
    for new, old in zip(tree_flatten(found)[0], tree_flatten(result)[0], strict=True):
        if isinstance(new, torch.Tensor) and new.data_ptr() != old.data_ptr():
            old.copy_(new)
