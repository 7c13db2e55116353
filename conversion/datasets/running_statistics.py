"""Minimum, maximum, mean and standard deviation of rows, or of images, that come some at a time."""

import numpy as np


class RunningStatistics:
    """Of columns (rows, numbers); exact but for float64's rounding, in the memory of one row.

    Mean and squared deviations are merged batch by batch (Chan, Golub and LeVeque, 1979).
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, rows: np.ndarray) -> None:
        """rows: (rows, numbers), at least one."""
        rows = rows.astype(np.float64)
        low, high, mean = rows.min(axis=0), rows.max(axis=0), rows.mean(axis=0)
        squares, count = ((rows - mean) ** 2).sum(axis=0), len(rows)
        if self.count:
            low, high = np.minimum(self.low, low), np.maximum(self.high, high)
            both, apart = self.count + count, mean - self.mean
            squares = self.squares + squares + apart**2 * (self.count * count / both)
            mean, count = self.mean + apart * (count / both), both
        self.low, self.high, self.mean, self.squares, self.count = low, high, mean, squares, count

    def result(self) -> dict[str, np.ndarray]:
        """min, max, mean and std, the population's."""
        deviation = np.sqrt(self.squares / self.count)
        return {"min": self.low, "max": self.high, "mean": self.mean, "std": deviation}


class ImageStatistics:
    """Of the channels of images, scaled to 0..1; exact, for it counts how often each of the 256 values is there."""

    def __init__(self) -> None:
        self.counts = np.zeros((3, 256), dtype=np.int64)

    def add(self, pictures: np.ndarray) -> None:
        """pictures: (pictures, height, width, 3) uint8."""
        for picture in pictures:
            for channel, counts in enumerate(self.counts):
                counts += np.bincount(picture[..., channel].ravel(), minlength=256)

    def result(self) -> dict[str, np.ndarray]:
        """min, max, mean and std, the population's; (3,) each."""
        values, total = np.arange(256) / 255, self.counts.sum(axis=1)
        mean = self.counts @ values / total
        squares = (self.counts * (values - mean[:, None]) ** 2).sum(axis=1)
        found = self.counts > 0
        low, high = found.argmax(axis=1), 255 - found[:, ::-1].argmax(axis=1)
        return {"min": low / 255, "max": high / 255, "mean": mean, "std": np.sqrt(squares / total)}
