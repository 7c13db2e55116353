"""Statistics of a stream of vectors, batch by batch: bounds, moments and quantiles.

Quantiles are exact while the rows fit, and beyond that those of a uniform random sample of them.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..configuration.vla_errors import InputError
from .dataset_columns import checked_lengths, is_list

LARGEST = float(np.finfo(np.float32).max)  # models compute in float32
SLACK = 1.25  # how far the rows held may grow before the sample is cut to its size again


class RowSample:
    """At most `size` rows of a stream, every set of so many rows equally likely.

    Each row gets a random number, and the rows with the smallest ones stay. The numbers follow from the seed and the
    place in the stream alone: how the stream is cut into batches changes nothing.

    With n rows kept out of more, the rank of a reported quantile p has the standard error sqrt(p (1 - p) / n): 0.00007
    for the 1st percentile of 2,000,000.

    Raises:
        InputError: the size is below 1.
    """

    def __init__(self, size: int, seed: int = 0):
        if size < 1:
            raise InputError(f"a sample of {size} rows has no quantiles; keep at least 1.")
        self.size = size
        self.generator = np.random.default_rng(seed)
        self.limit = 1.0  # rows with a number from here on are out
        self.held = 0
        self.rows: list[np.ndarray] = []
        self.numbers: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """rows: (any number, dimensions); those that may stay are copied."""
        numbers = self.generator.random(len(rows))
        chosen = numbers < self.limit
        self.rows.append(rows[chosen])
        self.numbers.append(numbers[chosen])
        self.held += np.count_nonzero(chosen)
        if self.held > self.size * SLACK:
            self.cut()

    def cut(self) -> None:
        """Join the batches, and keep the rows with the smallest numbers."""
        rows, numbers = np.concatenate(self.rows), np.concatenate(self.numbers)
        if len(rows) > self.size:
            chosen = np.argpartition(numbers, self.size - 1)[: self.size]
            rows, numbers = rows[chosen], numbers[chosen]
            self.limit = numbers.max()
        self.rows, self.numbers, self.held = [rows], [numbers], len(rows)

    def joined(self) -> np.ndarray:
        """(rows, dimensions), the rows that are kept, at most `size`."""
        self.cut()
        return self.rows[0]

    def quantiles(self, probabilities: Sequence[float]) -> np.ndarray:
        """(probabilities, dimensions) float64, as `numpy.quantile` interpolates; needs at least one row."""
        columns = (column.astype(np.float64) for column in self.joined().T)  # one at a time, not to double the memory
        return np.stack([np.quantile(column, probabilities) for column in columns], axis=1)


class VectorStatistics:
    """Bounds, moments and quantiles of vectors, batch by batch.

    Args:
        widths: of each column that the vectors are joined of, the length of its part.
        exact_rows: how many rows are kept for the quantiles.
    """

    def __init__(self, widths: dict[str, int], exact_rows: int):
        self.widths, self.width = widths, sum(widths.values())
        self.sample = RowSample(exact_rows)
        self.rows = 0
        self.origin = np.zeros(self.width)  # the first row; from there, moments lose no digits to a large offset
        self.low, self.high = np.full(self.width, np.inf), np.full(self.width, -np.inf)
        self.mean, self.squares = np.zeros(self.width), np.zeros(self.width)

    def add(self, table: pa.Table) -> None:
        """table: the next rows. Raises InputError for vectors of another length and numbers that are not finite."""
        parts = [checked_rows(table[name], name, width, self.rows) for name, width in self.widths.items()]
        rows = np.concatenate(parts, axis=1)
        if not self.rows:
            self.origin = rows[0].astype(np.float64)
        self.sample.add(rows)
        self.low = np.minimum(self.low, rows.min(axis=0))
        self.high = np.maximum(self.high, rows.max(axis=0))
        self.add_moments(rows - self.origin)

    def add_moments(self, rows: np.ndarray) -> None:
        """Merge the mean and the sum of squared deviations of (rows, width) float64 (Chan, Golub and LeVeque 1979)."""
        total = self.rows + len(rows)
        mean = rows.mean(axis=0)
        step = mean - self.mean
        self.squares += ((rows - mean) ** 2).sum(axis=0) + step**2 * (self.rows * len(rows) / total)
        self.mean += step * (len(rows) / total)
        self.rows = total

    def result(self) -> dict[str, list]:
        """Lists of `width` numbers by name, and a `mask` that is true for all."""
        low, high = self.sample.quantiles((0.01, 0.99))
        found = {
            "min": self.low,
            "max": self.high,
            "mean": self.origin + self.mean,
            "std": np.sqrt(self.squares / self.rows),
            "q01": low,
            "q99": high,
        }
        return {name: values.tolist() for name, values in found.items()} | {"mask": [True] * self.width}


def checked_rows(column: pa.ChunkedArray, name: str, width: int, before: int) -> np.ndarray:
    """The next rows of a column, (rows, width) float32, or float64 for a column of that or of large integers.

    before: rows that came earlier, for messages. Raises InputError for a vector of another length than `width` and for
    a number that is not finite in float32.
    """
    lengths = checked_lengths(column, name)
    different = np.flatnonzero(lengths != width)
    if different.size:
        row = different[0]
        raise InputError(
            f"column {name!r}, row {before + row} has {max(lengths[row], 0)} numbers; the rows before it have {width}."
        )
    flat = [(chunk.flatten() if is_list(column.type) else chunk) for chunk in column.chunks]
    numbers = np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in flat])  # a null becomes a NaN
    rows = numbers.astype(np.result_type(numbers.dtype, np.float32), copy=False).reshape(-1, width)
    wrong = np.argwhere(~(np.abs(rows) <= LARGEST))
    if wrong.size:
        row, dimension = wrong[0]
        raise InputError(
            f"column {name!r}, row {before + row}, dimension {dimension} is {rows[row, dimension]}, no finite float32 "
            "number: repair the row or leave it out."
        )
    return rows
