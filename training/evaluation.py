"""Evaluation that is the same whenever it is made, and leaves training as it is; and errors of predictions."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

TARGETS = ("labels", "trajectory_labels", "actions", "ego_future_xyz")  # what a batch with a loss has of


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from `seed` on; afterwards those of before go on."""
    before = random.getstate(), np.random.get_state()
    with numbers_given_back(device):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def numbers_given_back(device: torch.device) -> AbstractContextManager[None]:
    """Afterwards torch's random numbers of before go on, also those of all other devices of this kind: a seed is for
    all of them, and a model may lie on several."""
    has_others = device.type not in ("cpu", "meta")
    devices = range(torch.get_device_module(device.type).device_count()) if has_others else []
    return torch.random.fork_rng(devices, device_type=device.type)


def seeded(seed: int | None, device: torch.device) -> AbstractContextManager[None]:
    """`own_randomness` of a seed; without one, random numbers go on."""
    return nullcontext() if seed is None else own_randomness(int(seed), device)


def seed_of(*numbers: int) -> int:
    """One seed of several numbers of 0 or more: another one wherever a number is another."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def without_augmentation(collator: Callable) -> Callable:
    """A collator of ours that leaves images as they are; any other one as it is."""
    if getattr(collator, "augment", None) is None:
        return collator
    plain = copy.copy(collator)
    plain.augment = None
    return plain


def targets_of(batch: Any) -> list[str]:
    """Names of what a batch's loss is made from."""
    return [name for name in TARGETS if batch.get(name) is not None]


@torch.no_grad()
def action_error(
    model: nn.Module, collator: Any, examples: Sequence[dict], batch_size: int, device: torch.device
) -> torch.Tensor:
    """Sum of the errors of predictions, and over how many it goes, (2,) float64; see `prediction_errors` of collators.

    collator: one of ours, for the model; examples: any number of them, also none.
    """
    total = torch.zeros(2, dtype=torch.float64)
    for first in range(0, len(examples), batch_size):
        chosen = [examples[i] for i in range(first, min(first + batch_size, len(examples)))]
        errors = collator.prediction_errors(model, chosen, device)
        total += torch.tensor([errors.double().sum(), errors.numel()], dtype=torch.float64)
    return total
