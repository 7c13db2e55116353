"""What the losses of a step are divided by, over its batches and processes."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn


def base_of(model: nn.Module) -> nn.Module:
    """The model itself, where PEFT holds it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


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
