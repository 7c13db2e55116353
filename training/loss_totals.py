"""What the losses of a step are divided by, over its batches and processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ..configuration.vla_errors import InputError

PARTS = {"action": "action_loss", "text": "lm_loss", "trajectory": "trajectory_lm_loss"}


def base_of(model: nn.Module) -> nn.Module:
    """The model itself, where PEFT holds it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def weighted_loss(output: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """The sum of a model's losses of actions, text and trajectories as text, each times its weight, 1 by default."""
    parts = [weights.get(part, 1.0) * output[name] for part, name in PARTS.items() if output.get(name) is not None]
    return torch.stack(parts).sum()


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises InputError unless these are weights of 0 or more of parts that there are."""
    for part, weight in weights.items():
        if part not in PARTS:
            raise InputError(f"loss_weights names {part!r}; a loss has the parts {', '.join(PARTS)}.")
        if not 0 <= weight < float("inf"):
            raise InputError(f"loss_weights[{part!r}]={weight!r} must be a number of 0 or more.")


def loss_totals(
    model: nn.Module, batches: Sequence[dict[str, Any]], accelerator: Accelerator
) -> dict[str, torch.Tensor] | None:
    """`loss_items` of the batches that make one step, added up over all processes; `None` without a batch.

    Batches without times get some where the loss weighs samples by them.
    """
    counted = []
    for batch in batches:
        batch.update(model.drawn(**batch))
        counted.append(model.loss_items(**batch))
    if not counted:
        return None
    names = sorted(counted[0])
    totals = torch.stack([torch.stack([items[name].float() for name in names]) for items in counted]).sum(dim=0)
    totals = accelerator.reduce(totals.to(accelerator.device), "sum")
    return dict(zip(names, totals.unbind(), strict=True))
