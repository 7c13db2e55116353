"""What a step costs, and its largest gradient, for the log."""

import resource
import time
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

GIB = 2**30


class StepFigures(TrainerCallback):
    """Adds figures to what a `Trainer` logs.

    - `step_time`: mean seconds of a step since the last log, without loading data.
    - `peak_memory`: GiB, the most that this process's GPU has held since training began; on a CPU the process itself.
    - `grad_max_abs`: the largest absolute gradient of any parameter since the last log, over all processes, as the
      optimiser sees them, after clipping (DeepSpeed shows none).
    """

    def __init__(self):
        self.begin: float | None = None
        self.seconds, self.steps = 0.0, 0
        self.largest: torch.Tensor | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.__init__()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_step_begin(self, args, state, control, **kwargs):
        self.begin = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds += time.perf_counter() - self.begin
        self.steps += 1

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        local = [g.to_local() if isinstance(g, DTensor) else g for g in gradients]
        largest = [g.abs().amax().float() for g in local if g.numel()]
        if largest:
            device = largest[0].device  # a model may lie on several
            found = [*(one.to(device) for one in largest), *([] if self.largest is None else [self.largest])]
            self.largest = torch.stack(found).amax()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in logs or not self.steps:
            return
        figures = {"step_time": self.seconds / self.steps, "peak_memory": peak_memory(args.device)}
        if self.largest is not None:
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(self.largest, dist.ReduceOp.MAX)
            figures["grad_max_abs"] = self.largest.item()
        logs.update(figures)
        state.log_history[-1].update(figures)
        self.seconds, self.steps, self.largest = 0.0, 0, None


def peak_memory(device: Any) -> float:
    """GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
