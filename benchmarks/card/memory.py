"""What is held in memory: less for a checkpointed backward pass; and predictions and graphs leave nothing behind."""

import gc
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.card.cases import Case, cases, on, placed, predict
from benchmarks.card.learning import loss_and_gradients
from benchmarks.card.results import Figure, Job, Skipped

MEBIBYTE = 2**20
CHECKPOINTING = {"gradient_checkpointing_kwargs": {"use_reentrant": False}}


def jobs(device: str, family: str | None) -> Iterator[Job]:
    for case in cases(family, is_trained=True):
        yield Job("memory", case.name, partial(memory, case, device))


def memory(case: Case, device: str) -> Iterator[Figure]:
    tiny = case.tiny()
    batch, prompt = (on(device, each) for each in (tiny.batch, tiny.prompt))
    model = placed(tiny.model, device).train()
    whole = bytes_for_backward(model, batch)
    model.gradient_checkpointing_enable(**CHECKPOINTING)
    checkpointed = bytes_for_backward(model, batch)
    yield Figure("kept for the backward pass, checkpointed over whole", checkpointed / whole, 0.99)
    if device != "cuda":
        raise Skipped("peaks and what is left are those of a card's memory")
    yield Figure("peak of a checkpointed step, MiB", peak(lambda: loss_and_gradients(model, batch)))
    model.gradient_checkpointing_disable()
    yield Figure("peak of a step, MiB", peak(lambda: loss_and_gradients(model, batch)))
    yield from of_predictions(model.eval(), prompt)


@torch.no_grad()
def of_predictions(model: nn.Module, prompt: dict) -> Iterator[Figure]:
    call = partial(predict, model, prompt)
    yield Figure("peak of a prediction, MiB", peak(call))
    yield Figure("left by ten predictions, bytes", growth(call, 10), 0)
    model.enable_fast_prediction("graphs", max_graphs=32)
    yield Figure("peak of a prediction from graphs, MiB", peak(call))
    yield Figure("left by ten predictions from graphs, bytes", growth(call, 10), 0)
    model.disable_fast_prediction()

    def on_and_off() -> None:
        model.enable_fast_prediction("graphs", max_graphs=32)
        call()
        model.disable_fast_prediction()

    yield Figure("left by graphs that were switched off, bytes", growth(on_and_off, 2), 0)


def bytes_for_backward(model: nn.Module, batch: dict) -> int:
    """Of all tensors that a forward pass keeps, each place in memory once; without weights, which are there anyway."""
    held = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(**batch).loss
    del loss
    return sum(kept.values())


def peak(call: Callable[[], object]) -> float:
    """MiB that a card holds at most during a call, with the model."""
    call()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / MEBIBYTE


def growth(call: Callable[[], object], times: int) -> int:
    """Bytes more that a card holds after so many further calls than after two, which allocate what stays."""
    call()
    call()
    before = settled()
    for _ in range(times):
        call()
    return settled() - before


def settled() -> int:
    """Bytes that are held, without the workspaces of cuBLAS, of which each stream gets one."""
    gc.collect()
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()
    return torch.cuda.memory_allocated()
