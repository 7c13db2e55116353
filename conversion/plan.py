"""A conversion as a value: for each output tensor its sources and its operation, decided before anything is written."""

import math
from dataclasses import dataclass, field

import torch

from .tensor_source import TensorFile


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of one file."""

    file: TensorFile
    key: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.file.infos[self.key].shape

    def load(self) -> torch.Tensor:
        return self.file.load(self.key)

    def __str__(self) -> str:
        return f"{self.file.label}:{self.key}"


@dataclass
class LoraParts:
    """A LoRA to merge into one layer: `module` as the adapter names it, `parts` by their place in PEFT's layer."""

    module: str
    parts: dict[str, SourceTensor]
    bias: SourceTensor | None = None

    @property
    def file(self) -> TensorFile:
        return next(iter(self.parts.values())).file


@dataclass
class PlannedTensor:
    """One tensor of the output: copied from `source`, or `source` with `lora` merged in."""

    name: str
    shape: tuple[int, ...]
    source: SourceTensor
    lora: LoraParts | None = None

    @property
    def operation(self) -> str:
        return "merge_lora" if self.lora else "copy"

    @property
    def sources(self) -> list[SourceTensor]:
        return [self.source, *(self.lora.parts.values() if self.lora else ())]


@dataclass(frozen=True)
class Leftover:
    """A source tensor that is not in the output: `superseded` by another source, or `unused`; and why."""

    source: SourceTensor
    status: str
    reason: str


@dataclass(frozen=True)
class Fact:
    """A setting of the output and how it is known: `read` from a file, `given` as an option, or `inferred`."""

    name: str
    value: object
    how: str


@dataclass
class Plan:
    """Everything that a conversion will do."""

    tensors: list[PlannedTensor]
    leftovers: list[Leftover]
    dtype: torch.dtype
    facts: list[Fact] = field(default_factory=list)

    def shards(self, max_bytes: int) -> list[list[PlannedTensor]]:
        """The output files: tensors in order, a new file where the next would exceed `max_bytes`."""
        shards: list[list[PlannedTensor]] = [[]]
        filled = 0
        for tensor in self.tensors:
            size = self.bytes_of(tensor)
            if shards[-1] and filled + size > max_bytes:
                shards.append([])
                filled = 0
            shards[-1].append(tensor)
            filled += size
        return shards

    def bytes_of(self, tensor: PlannedTensor) -> int:
        return math.prod(tensor.shape) * self.dtype.itemsize
