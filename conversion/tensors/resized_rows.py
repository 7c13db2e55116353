"""Embeddings of another number of rows than their source has: rows behind its last one are new."""

from dataclasses import dataclass
from functools import cached_property

import torch

from ...modeling.seeded_numbers import normal_numbers
from .plan import SourceTensor
from .safetensors_stream import ALL, TensorInfo

NOISE = 1e-9  # variance of new rows, in that of the old ones
BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ResizedRows(SourceTensor):
    """The first `rows` rows of a tensor (rows, width) of a file, and new ones behind those that it has.

    New rows are what transformers' `resize_token_embeddings` makes of them (`mean_resizing`, Hewitt 2021): the mean of
    all old rows, and noise of a billionth of their variance, here in each column by itself and not of their whole
    covariance. So a new token is as likely as an average one.

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
        drawn = [self.new_rows(max(first, there), last)] if last > there else []
        return torch.cat(kept + drawn) if len(kept + drawn) > 1 else (kept + drawn)[0]

    def new_rows(self, first: int, last: int) -> torch.Tensor:
        """The rows from `first` to `last`, all of them behind the old ones."""
        mean, deviation = self.moments
        width, before = len(mean), self.old.shape[0]
        noise = normal_numbers(self.name, self.seed, 1.0, (first - before) * width, (last - before) * width)
        drawn = mean + NOISE**0.5 * deviation * torch.from_numpy(noise).view(-1, width).double()
        return drawn.to(self.old.dtype)

    @cached_property
    def moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (width,) of the old rows, float64; they are read in blocks."""
        count, width = self.old.shape
        size = max(1, BLOCK_BYTES // self.old.row_bytes)
        total, squares = torch.zeros(2, width, dtype=torch.float64)
        for first in range(0, count, size):
            block = self.file.load(self.key, slice(first, min(first + size, count))).double()
            total += block.sum(dim=0)
            squares += block.square().sum(dim=0)
        mean = total / count
        return mean, (squares / count - mean.square()).clamp(min=0).sqrt()
