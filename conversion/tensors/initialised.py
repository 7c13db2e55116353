"""Tensors that no source has: freshly initialised, reproducible one by one and block by block.

A tensor's numbers depend on the seed and on its name, not on shards, blocks, threads or other tensors: they are drawn
in pieces of fixed size, each from a generator of its own. NumPy guarantees that `RandomState` never changes.

torch's generators are five times as fast (3 ns a number, 14 here), but what they draw depends on how many are drawn at
once and may change with a release; a model's own initialisation needs all of it in memory, and draws in its order.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ...configuration.vla_errors import ConversionError
from .safetensors_stream import ALL, TensorInfo

PIECE = 2**16  # numbers from one generator


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
        drawn = np.empty(last - first, dtype=np.float32)
        for piece in range(first // PIECE, -(-last // PIECE)):
            start, end = max(first, piece * PIECE), min(last, (piece + 1) * PIECE)
            drawn[start - first : end - first] = self.piece(piece)[start - piece * PIECE : end - piece * PIECE]
        return torch.from_numpy(drawn).view(info.shape)

    def piece(self, number: int) -> np.ndarray:
        """(PIECE,) normal numbers, float64."""
        digest = hashlib.sha256(f"{self.seed}/{number}/{self.name}".encode()).digest()
        return self.deviation * np.random.RandomState(np.frombuffer(digest, "<u4")).standard_normal(PIECE)

    def __str__(self) -> str:
        return self.label


def initialised(model: PreTrainedModel, name: str, seed: int) -> InitialisedTensor:
    """What the model itself would do with a new parameter: it depends on the kind of module that owns it.

    model: may lie on the meta device.

    Raises:
        ConversionError: the owner is of a kind without a rule.
    """
    path, _, parameter = name.rpartition(".")
    owner = model.get_submodule(path)
    shape = tuple(getattr(owner, parameter).shape)
    is_norm = type(owner).__name__.endswith("Norm")
    if parameter == "bias" and (is_norm or isinstance(owner, nn.Linear)):
        return InitialisedTensor(name, shape, seed, value=0.0)
    if parameter == "weight" and is_norm:
        return InitialisedTensor(name, shape, seed, value=1.0)
    if parameter == "weight" and isinstance(owner, (nn.Linear, nn.Embedding)):
        return InitialisedTensor(name, shape, seed, deviation=deviation_at(model, path))
    raise ConversionError(f"{name} is in no source, and a {type(owner).__name__} has no rule for new numbers.")


def deviation_at(model: PreTrainedModel, path: str) -> float:
    """`initializer_range` of the innermost transformers model around a module."""
    parts = path.split(".")
    around = [model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts) + 1)]
    config = [module for module in around if isinstance(module, PreTrainedModel)][-1].config
    return getattr(config, "initializer_range", None) or config.get_text_config().initializer_range
