"""Figures beside the loss: whether training is well, collected without waiting for the device, and what steps cost."""

import math
import resource
import time
from collections import Counter, defaultdict
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from ..modeling.flow_matching import FlowMatchingLoss
from .loss_totals import base_of

LOSSES = ("action_loss", "lm_loss", "trajectory_lm_loss")
GIB = 2**30


class HealthCallback(TrainerCallback):
    """Adds figures to what a `Trainer` logs, over the steps and processes since it logged last.

    - `action_loss`, `lm_loss`, `trajectory_lm_loss`: the parts of the loss.
    - `velocity_cosine`: cosine of predicted and wanted velocity (flow matching).
    - What the model's class has of its own in `training_figures`: for CogVLA `moe_ratio/featurizer` and
      `moe_ratio/fused_featurizer`, the mean weight of each vision tower, and `lfp_kept/layer_N`, the share of the
      vision tokens that a pruning layer keeps.
    - `grad_norm/...`: of the parts that the class names in `watched_gradients`, for CogVLA `aggregation` tokens and
      `routers`, as the optimiser sees them, after clipping; root mean square over the steps (DeepSpeed shows none).
    - `nonfinite/losses`: forward passes, `nonfinite/gradients`: steps whose loss or gradient was not finite.

    Figures stay tensors on the device until they are logged. What a model does not have is not logged.

    Args:
        losses_add_up: the losses of a step's batches add up to that of the step (`num_items_in_batch`); else it is
            their mean.
    """

    def __init__(self, losses_add_up: bool = False):
        self.losses_add_up = losses_add_up
        self.steps = 0
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: Counter[str] = Counter()
        self.handles: list[Any] = []
        self.gradients: dict[str, list[nn.Parameter]] = {}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.on_train_end(args, state, control)  # of a training that was interrupted
        losses = [module for module in model.modules() if isinstance(module, FlowMatchingLoss)]
        self.handles = [model.register_forward_hook(self.watch_output)]
        self.handles += [module.register_forward_hook(self.watch_velocity) for module in losses]
        self.own_figures = getattr(base_of(model), "training_figures", None)  # of a class of ours
        watched = getattr(base_of(model), "watched_gradients", {})
        self.gradients = defaultdict(list)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                self.gradients["all"].append(parameter)
                for figure, part in watched.items():
                    if part in name.split("."):
                        self.gradients[figure].append(parameter)

    def on_train_end(self, args, state, control, **kwargs):
        for handle in self.handles:
            handle.remove()
        self.sums.clear()
        self.counts.clear()
        self.steps = 0

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.steps += 1
        for figure, parameters in self.gradients.items():
            if all(parameter.grad is None for parameter in parameters):
                continue
            squared, shards = squared_norm(parameters)
            if figure == "all":
                self.add("nonfinite/gradients", ~squared.isfinite())
            else:
                self.add(f"grad_norm/{figure}", squared * shards)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in logs or not self.sums:  # the summary at the end has none
            return
        figures = self.figures()
        logs.update(figures)
        state.log_history[-1].update(figures)

    def watch_output(self, module: nn.Module, arguments: tuple, output: Any) -> None:
        """Forward hook of the model."""
        if not module.training or getattr(output, "loss", None) is None:  # a forward pass for its logits, say
            return
        self.add("nonfinite/losses", ~output.loss.isfinite())
        for name in LOSSES:
            if output.get(name) is not None:
                self.add(name, output[name])
        for name, value in self.own_figures(output).items() if self.own_figures else ():
            self.add(name, value)

    def watch_velocity(self, module: nn.Module, arguments: tuple, output: Any) -> None:
        """Forward hook of the loss, whose first arguments are velocity and target (batch, horizon, action_dim)."""
        if module.training:
            velocity, target = (tensor.detach().float().flatten(1) for tensor in arguments[:2])
            self.add("velocity_cosine", F.cosine_similarity(velocity, target, dim=-1).mean())

    def add(self, name: str, value: torch.Tensor) -> None:
        """Count a scalar among those of its name."""
        value = value.detach().float()  # a Trainer scales losses in place afterwards
        self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.counts[name] += 1

    def figures(self) -> dict[str, float]:
        """Means since the last call, on all processes; here the device is waited for."""
        names = sorted(self.sums)
        device = self.sums[names[0]].device  # a model may lie on several
        totals = torch.stack([self.sums[name].to(device) for name in names])
        processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if processes > 1:
            dist.all_reduce(totals)
        figures = {}
        for name, total in zip(names, totals.tolist(), strict=True):
            mean = total / (processes * self.counts[name])
            if name == "nonfinite/losses":
                mean = total
            elif name in LOSSES and self.losses_add_up:
                mean = total / max(self.steps, 1)
            elif name == "nonfinite/gradients":
                mean = math.ceil(total / processes)
            elif name.startswith("grad_norm/"):
                mean = math.sqrt(mean)
            figures[name] = mean
        self.sums.clear()
        self.counts.clear()
        self.steps = 0
        return figures


def squared_norm(parameters: list[nn.Parameter]) -> tuple[torch.Tensor, int]:
    """The squared norm of what this process has of the gradients, and over how many processes they are split.

    At least one of the parameters must have a gradient.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    shards = max((number_of_shards(g) for g in gradients if isinstance(g, DTensor)), default=1)
    local = [g.to_local() if isinstance(g, DTensor) else g for g in gradients]
    return torch.nn.utils.get_total_norm(local).float().square(), shards


def number_of_shards(tensor: DTensor) -> int:
    """Over how many processes a tensor is split; others have copies."""
    sizes = zip(tensor.device_mesh.shape, tensor.placements, strict=True)
    return math.prod(size for size, placement in sizes if placement.is_shard())


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
        if args.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def on_step_begin(self, args, state, control, **kwargs):
        self.begin = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds += time.perf_counter() - self.begin
        self.steps += 1

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        local = [g.to_local() if isinstance(g, DTensor) else g for g in gradients]
        # All processes have a figure, or none has: one that holds no row at all must not leave the others waiting.
        largest = [g.abs().amax().float() if g.numel() else g.new_zeros((), dtype=torch.float) for g in local]
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
