"""Embeddings of another number of rows than their source has: rows behind its last one are new."""

from dataclasses import dataclass
from functools import cached_property

import torch

from ...modeling.vocabulary_rows import Moments, moments_of, new_rows
from .plan import SourceTensor
from .safetensors_stream import ALL, TensorInfo

BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ResizedRows(SourceTensor):
    """The first `rows` rows of a tensor (rows, width) of a file, and new ones behind those that it has, see
    `vocabulary_rows.py`.

    Attributes:
        rows: of the output.
        name, seed: decide the noise; tensors that are tied have one name.
    """

    rows: int
    name: str
    seed: int

    operation = "resize_rows"

    @property
    def old(self) -> TensorInfo:
        """Shape and dtype, as the file has them."""
        return self.file.infos[self.key]

    @property
    def info(self) -> TensorInfo:
        """Shape and dtype of the output."""
        return TensorInfo((self.rows, *self.old.shape[1:]), self.old.dtype)

    def load(self, rows: slice = ALL, buffer: torch.Tensor | None = None) -> torch.Tensor:
        """The tensor or some of its rows, in the dtype of the file."""
        first, last = rows.start or 0, self.rows if rows.stop is None else rows.stop
        there = self.old.shape[0]
        kept = [self.file.load(self.key, slice(first, min(last, there)), buffer)] if first < there else []
        drawn = [self.drawn(max(first, there), last)] if last > there else []
        return torch.cat(kept + drawn) if len(kept + drawn) > 1 else (kept + drawn)[0]

    def drawn(self, first: int, last: int) -> torch.Tensor:
        """The rows from `first` to `last`, all of them behind the old ones."""
        there = self.old.shape[0]
        return new_rows(self.moments, self.name, self.seed, first - there, last - there).to(self.old.dtype)

    @cached_property
    def moments(self) -> Moments:
        """Of the old rows, which are read in blocks."""
        count, size = self.old.shape[0], max(1, BLOCK_BYTES // self.old.row_bytes)
        blocks = (slice(first, min(first + size, count)) for first in range(0, count, size))
        return moments_of(self.file.load(self.key, rows) for rows in blocks)
