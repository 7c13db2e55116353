"""What is not finite is neither learnt from nor saved."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from ..configuration.vla_errors import NonFiniteError

NAMED = 5  # parameters in a message


class FiniteGuard(TrainerCallback):
    """Skips steps whose loss or gradients are not finite, and ends a training that has too many of them.

    A skipped step changes neither weights nor the optimiser's state, and `skipped_steps` of the log counts it.
    DeepSpeed shows no gradients. In float16 a scaler skips what overflows and lowers its scale, which it looks for in
    the first steps: that is counted, too, but no error until the scale is below 1. Losses are looked at all the same.

    Args:
        max_skipped_steps: how many steps in a row may be skipped, beside those of a scaler.

    Raises:
        NonFiniteError: one more step in a row, or all steps of a training, were not finite, or gradients are not with
            the scale of float16 below 1; the message names the step and the parameters, or the scale.
    """

    def __init__(self, max_skipped_steps: int):
        self.max_skipped_steps = max_skipped_steps
        self.on_train_begin()

    def on_train_begin(self, *arguments: Any, **kwargs: Any) -> None:
        """Count anew."""
        self.skips = False
        self.in_a_row = self.in_all = self.taken = 0
        self.where = ""
        self.scale = 1.0  # of a scaler, before its step
        self.losses: list[torch.Tensor] = []

    def add_loss(self, loss: torch.Tensor) -> None:
        """Of one of the batches that make a step."""
        self.losses.append(loss.detach())

    def look_at(self, model: nn.Module, step: int, is_scaled: bool = False) -> None:
        """The gradients of a step, before they are clipped and its optimiser's step; all processes call it.

        is_scaled: a scaler of float16 will look at the gradients, so that here the loss alone is looked at; where that
        is not finite the scaler finds infinite gradients, for it can skip nothing else.
        """
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        wrong = not_finite({"loss": torch.stack(self.losses), **({} if is_scaled else gradients)})
        self.losses.clear()
        self.skips = wrong is not None
        if wrong is None:
            return
        self.in_a_row, self.in_all = self.in_a_row + 1, self.in_all + 1
        self.where = f"loss or gradients are not finite in step {step}, {self.in_a_row} in a row: {wrong}"
        if self.in_a_row > self.max_skipped_steps:
            raise NonFiniteError(f"{self.where}. Look at loss and data of that step, or train with a lower rate.")
        if is_scaled:
            for gradient in gradients.values():
                gradient.fill_(torch.inf)

    def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
        if optimizer.scaler is not None:
            self.scale = optimizer.scaler.get_scale()
        elif self.skips:
            for parameter in model.parameters():
                parameter.grad = None  # an optimiser leaves out what has none

    def on_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        if self.skips:
            return
        # A smaller scale is the one sign of it: a fused optimiser skips inside of its step.
        scale = self.scale if optimizer.scaler is None else optimizer.scaler.get_scale()
        if scale >= self.scale:
            self.in_a_row, self.taken = 0, self.taken + 1
            return
        self.in_all += 1
        self.where = f"gradients overflow in step {state.global_step + 1}"
        if scale < 1.0:
            raise NonFiniteError(
                f"{self.where}, even with the scale of float16 at {scale:g}. Look at loss and data of that step, or "
                "train in bfloat16."
            )

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            logs["skipped_steps"] = state.log_history[-1]["skipped_steps"] = self.in_all

    def on_train_end(self, *arguments: Any, **kwargs: Any) -> None:
        """Raises NonFiniteError where no step of a training was finite."""
        if self.in_all and not self.taken:
            raise NonFiniteError(f"no step was finite, so that nothing was learnt: {self.where}.")


def check_finite_weights(model: nn.Module, when: str) -> None:
    """All processes call it, each with its part of the weights.

    Raises:
        NonFiniteError: weights are not finite; when: what was about to happen, for the message.
    """
    weights = {name: p.detach() for name, p in model.named_parameters() if p.is_floating_point()}
    wrong = not_finite(weights)
    if wrong is not None:
        raise NonFiniteError(f"{when}: weights are not finite, so they are not written: {wrong}.")


def not_finite(tensors: dict[str, torch.Tensor]) -> str | None:
    """Which of the tensors hold NaN or infinities, on any process, in words; `None` where all is finite."""
    local = {name: t.to_local() if isinstance(t, DTensor) else t for name, t in tensors.items()}
    local = {name: tensor for name, tensor in local.items() if tensor.numel() and not tensor.is_meta}
    device = next((tensor.device for tensor in local.values()), torch.device("cpu"))
    bad = torch.zeros((), device=device)
    for tensor in local.values():
        bad = bad + (~torch.isfinite(tensor).all()).to(device)
    if is_distributed():
        bad = bad.cuda() if dist.get_backend() == "nccl" else bad
        dist.all_reduce(bad)
    if not bad.item():
        return None
    return in_words(everywhere(name for name, tensor in local.items() if not torch.isfinite(tensor).all()))


def everywhere(names: Iterable[str]) -> list[str]:
    """The names of all processes."""
    found = [list(names)]
    if is_distributed():
        found = [None] * dist.get_world_size()
        dist.all_gather_object(found, list(names))
    return sorted({name for some in found for name in some})


def in_words(names: list[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized()
