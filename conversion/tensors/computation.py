"""The numbers of one output tensor, a block of rows at a time where its steps allow that."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .lora_merge import LoraMerger, merge_lora_bias, merges_by_rows, replace_rows
from .plan import PlannedTensor, Step
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
    shape = planned.info.shape
    size = max(1, BLOCK_ELEMENTS // max(1, planned.info.row_bytes // planned.info.dtype.itemsize))
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
        self.steps = [(step, {part: source.load() for part, source in step.parts.items()}) for step in planned.steps]
        self.mergers = {
            id(step): LoraMerger(step.module, planned.info.shape, parts, step.config, device)
            for step, parts in self.steps
            if step.kind == "lora"
        }

    def apply(self, tensor: torch.Tensor, rows: slice) -> torch.Tensor:
        """The output's rows from those of the source: the steps in order, in float32, then one cast."""
        for step, parts in self.steps:
            if step.kind == "lora":
                tensor = self.mergers[id(step)].merge(tensor, rows.start or 0)
            elif step.kind == "lora_bias":
                tensor = merge_lora_bias(step.module, tensor, parts, step.config)
            else:
                tensor = replace_rows(step.module, tensor, parts["rows"], step.config)
        return tensor.to(self.planned.info.dtype)
