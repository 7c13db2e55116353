"""One process of those that `training.py` starts.

python -m benchmarks.card.training_worker FAMILY|all cuda|cpu FOLDER WORLD RANK
"""

import copy
import json
import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.attention import sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

import vlahub
from benchmarks.card.cases import TRAINING_ATTENTION, Case, cases, on
from benchmarks.card.device import as_precise_as_possible
from benchmarks.card.learning import Gradients, gradient_errors

STEPS, LEARNING_RATE = 2, 0.003
WAYS = {"DDP": DistributedDataParallel, "FSDP2": vlahub.shard_model}
DTYPES = ("float32", "bfloat16")
CHECKPOINTING = {"gradient_checkpointing_kwargs": {"use_reentrant": False}}


def main(family: str, device: str, folder: Path, world: int, rank: int) -> None:
    backend = "nccl" if device == "cuda" else "gloo"
    if device == "cuda":
        torch.cuda.set_device(0)
    torch.set_num_threads(1)
    as_precise_as_possible()
    dist.init_process_group(backend, f"file://{folder / 'meeting'}", rank=rank, world_size=world)
    figures = {
        case.name: compared(case, device) for case in cases(None if family == "all" else family, is_trained=True)
    }
    if rank == 0:
        (folder / "figures.json").write_text(json.dumps(figures, allow_nan=False))
    dist.barrier()
    dist.destroy_process_group()


def compared(case: Case, device: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Of the largest error of a loss, and of the gradients, by way and dtype."""
    tiny = case.tiny()
    batches = [on(device, varied(tiny.batch, rank)) for rank in range(dist.get_world_size())]
    model = tiny.model.to(device).train()
    vlahub.freeze_unreached(model, batches[0])
    wanted = learned(copy.deepcopy(model), batches, rounded=False)
    own = batches[dist.get_rank() :][:1]
    return {way: {dtype: errors(model, split, own, dtype, wanted) for dtype in DTYPES} for way, split in WAYS.items()}


def errors(model: nn.Module, split: Callable, batches: list, dtype: str, wanted: tuple) -> tuple[float, float]:
    """A copy of the model, split and checkpointed, beside what one device learned without that."""
    model = copy.deepcopy(model)
    model.gradient_checkpointing_enable(**CHECKPOINTING)
    found = learned(split(model), batches, rounded=dtype == "bfloat16")
    losses = [abs(a - b) / abs(b) for a, b in zip(found[0], wanted[0], strict=True)]
    of_gradients = gradient_errors(found[1], wanted[1])[0]
    if not all(map(math.isfinite, [*found[0], of_gradients])):
        raise ArithmeticError(f"losses in {dtype} are {found[0]}, the error of gradients is {of_gradients}")
    return max(losses), of_gradients


def varied(batch: dict[str, Any], rank: int) -> dict[str, Any]:
    """Another batch with as many items: other images and actions for each rank."""
    changed = {name: batch[name] * (1 - 0.2 * rank) for name in ("pixel_values", "actions") if name in batch}
    return batch | changed


def learned(model: nn.Module, batches: list[dict[str, Any]], rounded: bool) -> tuple[list[float], Gradients]:
    """Losses of a few steps over all processes, and the first step's gradients; each step is on the mean of batches."""
    device = next(model.parameters()).device.type
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE, momentum=0.9)
    losses, gradients = [], {}
    for step in range(STEPS):
        total = 0.0
        for batch in batches:
            with sdpa_kernel(TRAINING_ATTENTION), torch.autocast(device, torch.bfloat16) if rounded else nullcontext():
                loss = model(**batch).loss / len(batches)
            with sdpa_kernel(TRAINING_ATTENTION):  # which checkpointed layers compute once more
                loss.backward()
            total += loss.detach()
        if step == 0:
            gradients = gradients_of(model)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    alone = len(batches) == dist.get_world_size()
    return [float(loss) if alone else mean_of(loss) for loss in losses], gradients


def gradients_of(model: nn.Module) -> Gradients:
    """By the names of the model without DDP, whole where they are split."""
    found = {}
    for name, parameter in model.named_parameters():
        if (gradient := parameter.grad) is not None:
            whole = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
            found[name.removeprefix("module.")] = whole.double().cpu()
    return found


def mean_of(value: torch.Tensor) -> float:
    """Over the processes."""
    total = value.clone()
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()


if __name__ == "__main__":
    family, device, folder, world, rank = sys.argv[1:]
    main(family, device, Path(folder), int(world), int(rank))
