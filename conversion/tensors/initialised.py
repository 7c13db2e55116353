"""Tensors that no source has: freshly initialised, reproducible one by one and block by block."""

import math
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from ...modeling.initial_values import InitialValues
from ...modeling.seeded_numbers import normal_numbers
from .safetensors_stream import ALL, TensorInfo


@dataclass(frozen=True)
class InitialisedTensor:
    """Takes the place of a `SourceTensor` in a plan.

    Attributes:
        value: what all numbers are (biases, norms), or `None` for normal ones with mean 0.
        deviation: of normal numbers.
    """

    name: str
    shape: tuple[int, ...]
    seed: int
    value: float | None = None
    deviation: float = 0.0

    operation = "initialised"

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.shape, torch.float32)

    @property
    def label(self) -> str:
        if self.value is not None:
            return f"all {self.value:g}"
        return f"normal, deviation {self.deviation:g}, seed {self.seed}"

    def load(self, rows: slice = ALL, buffer: torch.Tensor | None = None) -> torch.Tensor:
        """The tensor or some of its rows, float32; `buffer` is for what is read from files."""
        info = self.info.of_rows(rows)
        if self.value is not None:
            return torch.full(info.shape, self.value, dtype=torch.float32)
        first = (rows.start or 0) * math.prod(self.shape[1:])
        last = first + math.prod(info.shape)
        return torch.from_numpy(normal_numbers(self.name, self.seed, self.deviation, first, last)).view(info.shape)

    def __str__(self) -> str:
        return self.label


def initialised(model: PreTrainedModel, initial: InitialValues, name: str, seed: int) -> InitialisedTensor:
    """What the model itself would do with a new parameter.

    model, initial: see `initial_values.described`.

    Raises:
        ConfigError: its initialisation is of a kind that is not repeated here.
    """
    start = initial.of(model, name)
    return InitialisedTensor(name, tuple(model.state_dict()[name].shape), seed, start.value, start.deviation)
