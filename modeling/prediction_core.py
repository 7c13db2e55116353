"""Predictions in two halves: what a caller passed is looked at on the host, then a core makes numbers of numbers.

A core is a function at the top of a module, `core(model, inputs, options)`:

- `inputs`, and `buffers` where it has any, are tensors, `None`, or tuples, lists, dicts and NamedTuples of these;
- `options` is hashable (a NamedTuple of numbers, texts and tuples): all that makes it another computation;
- it returns tensors in the same forms, asks no device for a number, makes no tensor from a Python list, draws nothing,
  and reads of the model what does not change from call to call: its modules, its config;
- it may run more than once before its answer is used (libraries are warmed up): what it writes into `buffers` follows
  from its inputs, and a call of the same inputs writes the same.

So it can be compiled in one piece and captured in a CUDA graph, and `fast_prediction.py` does so where a user asks.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

Core = Callable[..., Any]


def run_core(model: nn.Module, core: Core, inputs: Any, options: Hashable = (), buffers: Any = None) -> Any:
    """`core(model, inputs, options)`, as fast as the model was asked to be.

    buffers: tensors that the core reads and writes where they are, as a fourth argument, such as keys and values that
        grow; inputs are copied before a captured core reads them. See `kept_buffers`.
    """
    fast = model.fast_prediction
    if fast is not None and not torch.compiler.is_compiling():
        return fast.run(model, core, inputs, options, buffers)
    return core(model, inputs, options) if buffers is None else core(model, inputs, options, buffers)


def kept_buffers(model: nn.Module, key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make()` allocates; with fast prediction the same memory for every call of one key, which graphs need.

    Nothing of what an earlier call left in them is to be read.
    """
    fast = active(model)
    return make() if fast is None else fast.kept_buffers(key, make)


def exclusive(model: nn.Module) -> AbstractContextManager:
    """`with exclusive(model):` around several cores over the same `kept_buffers`, which one call at a time may use.

    Another thread's prediction waits until this one has taken out of the buffers what it returns. Whether the model can
    use fast prediction is found out once.
    """
    fast = model.fast_prediction
    return nullcontext() if fast is None or torch.compiler.is_compiling() else fast.session(model)


def active(model: nn.Module) -> Any:
    """The `FastPrediction` that a call of the model may use now, or `None`: it is off, or such a call cannot use it.

    A model under hooks runs eagerly with what was padded for a graph, to the same answer.
    """
    fast = model.fast_prediction
    return None if fast is None or fast.reason_at_first_sight(model) is not None else fast


def bucketed(model: nn.Module, length: int) -> int:
    """The length that a sequence of `length` tokens is padded to: the next of few, or its own without buckets."""
    fast = active(model)
    bucket = 1 if fast is None else fast.length_bucket
    return -(-length // bucket) * bucket


def padded_behind(
    model: nn.Module, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None
) -> tuple[torch.LongTensor, torch.Tensor | None]:
    """Prompts (batch, length) and their mask, longer by what `bucketed` says; the padding is hidden by the mask.

    Without buckets, both as they came. With them there is always a mask: one signature for all prompts of a bucket.
    """
    return padded(model, input_ids, attention_mask, before=False)


def padded_before(
    model: nn.Module, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None
) -> tuple[torch.LongTensor, torch.Tensor | None]:
    """As `padded_behind`, with the padding before the prompts."""
    return padded(model, input_ids, attention_mask, before=True)


def padded(
    model: nn.Module, input_ids: torch.LongTensor, attention_mask: torch.Tensor | None, before: bool
) -> tuple[torch.LongTensor, torch.Tensor | None]:
    if active(model) is None:
        return input_ids, attention_mask
    more = bucketed(model, input_ids.shape[1]) - input_ids.shape[1]
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.to(input_ids.dtype)
    sides = (more, 0) if before else (0, more)
    return torch.nn.functional.pad(input_ids, sides), torch.nn.functional.pad(mask, sides)
