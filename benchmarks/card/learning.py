"""One step of learning: the loss, its gradients, and how far two of them are from each other."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.attention import sdpa_kernel

from benchmarks.card.cases import TRAINING_ATTENTION
from benchmarks.card.results import Figure

Gradients = dict[str, torch.Tensor]


def loss_and_gradients(model: nn.Module, batch: dict[str, Any]) -> tuple[float, Gradients]:
    """Both in double precision on the CPU; the model is left without gradients."""
    model.zero_grad()
    with sdpa_kernel(TRAINING_ATTENTION):
        loss = model(**batch).loss
        loss.backward()
    gradients = {name: p.grad.double().cpu() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return float(loss.detach().double()), gradients


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The length of the difference over that of what was wanted."""
    found, wanted = (each.detach().double().cpu() for each in (found, wanted))
    return float((found - wanted).norm() / wanted.norm().clamp_min(torch.finfo(torch.float64).tiny))


def gradient_errors(found: Gradients, wanted: Gradients) -> tuple[float, float]:
    """Of all gradients together, and of the parameter that is worst off; infinite where others have gradients.

    A parameter's error is taken relative to its own gradient, or to a hundredth of the largest one of all.
    """
    if found.keys() != wanted.keys():
        return float("inf"), float("inf")
    whole = relative(joined(found, wanted), joined(wanted, wanted))
    least = max(each.norm() for each in wanted.values()) / 100
    errors = [(found[name] - each).norm() / each.norm().clamp_min(least) for name, each in wanted.items()]
    return whole, float(torch.stack(errors).max())


def joined(gradients: Gradients, names: Iterable[str]) -> torch.Tensor:
    return torch.cat([gradients[name].flatten() for name in names])


def learning_figures(found: tuple, wanted: tuple, bounds: tuple[float | None, ...], prefix: str = "") -> list[Figure]:
    """Of two results of `loss_and_gradients`; bounds: of the loss, all gradients, and the worst parameter's."""
    loss = abs(found[0] - wanted[0]) / abs(wanted[0])
    whole, worst = gradient_errors(found[1], wanted[1])
    names = ("loss", "gradients", "worst gradient")
    return [Figure(prefix + n, v, b) for n, v, b in zip(names, (loss, whole, worst), bounds, strict=True)]
