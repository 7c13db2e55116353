"""The numbers of one output tensor, a block of rows at a time where its steps allow that."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .lora_merge import LoraMerger, merge_lora_bias, merges_by_rows, replace_rows
from .plan import PlannedTensor, Step, StoredPart
from .quantisation import QuantisationError, quantise
from .safetensors_stream import ALL

BLOCK_ELEMENTS = 2 * 2**20  # 8 MiB in float32: memory of this size is reused, larger memory is fetched anew each time


@dataclass(frozen=True)
class Block:
    """Some rows of an output tensor, or all of it."""

    planned: PlannedTensor
    rows: slice

    @property
    def source_bytes(self) -> int:
        return self.planned.source.info.of_rows(self.rows).bytes


def blocks_of(planned: PlannedTensor) -> Iterator[Block]:
    """The tensor in order, in blocks that can be computed one without the other."""
    info = planned.computed
    shape = info.shape
    size = max(1, BLOCK_ELEMENTS // max(1, info.row_bytes // info.dtype.itemsize))
    if not shape or shape[0] <= size or not all(is_by_rows(step, shape) for step in planned.steps):
        yield Block(planned, ALL)
        return
    for first in range(0, shape[0], size):
        yield Block(planned, slice(first, min(first + size, shape[0])))


def is_by_rows(step: Step, shape: tuple[int, ...]) -> bool:
    return step.kind == "lora" and merges_by_rows(step.parts, shape, step.config)


class Computation:
    """The steps of one planned tensor, with their adapters in memory."""

    def __init__(self, planned: PlannedTensor, device: str = "cpu"):
        self.planned = planned
        self.error = QuantisationError()
        self.steps = [(step, {part: source.load() for part, source in step.parts.items()}) for step in planned.steps]
        self.mergers = {
            id(step): LoraMerger(step.module, planned.computed.shape, parts, step.config, device)
            for step, parts in self.steps
            if step.kind == "lora"
        }

    def apply(self, tensor: torch.Tensor, rows: slice) -> torch.Tensor:
        """The output's rows from those of the source: the steps in order, in float32, then one cast, or what
        is stored of its quantisation."""
        for step, parts in self.steps:
            if step.kind == "lora":
                tensor = self.mergers[id(step)].merge(tensor, rows.start or 0)
            elif step.kind == "lora_bias":
                tensor = merge_lora_bias(step.module, tensor, parts, step.config)
            else:
                tensor = replace_rows(step.module, tensor, parts["rows"], step.config)
        tensor = tensor.to(self.planned.computed.dtype)
        return self.quantised(tensor, self.planned.part) if self.planned.part else tensor

    def quantised(self, weight: torch.Tensor, part: StoredPart) -> torch.Tensor:
        """Rows of what is stored for a weight; of its numbers the error is noted, too."""
        stored = quantise(weight, part.kind)
        if part.name == "qweight":
            self.error.add(weight, part.kind, stored)
        return stored[part.name].cpu()
