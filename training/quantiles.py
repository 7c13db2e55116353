"""Quantiles of a stream of rows: exact while the rows fit, from a uniform random sample of them beyond that."""

from collections.abc import Sequence

import numpy as np

from ..configuration.vla_errors import InputError

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

    def quantiles(self, probabilities: Sequence[float]) -> np.ndarray:
        """(probabilities, dimensions) float64, as `numpy.quantile` interpolates; needs at least one row."""
        self.cut()
        columns = (column.astype(np.float64) for column in self.rows[0].T)  # one at a time, not to double the memory
        return np.stack([np.quantile(column, probabilities) for column in columns], axis=1)
