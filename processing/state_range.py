"""Whether a robot's state is one that the training data can have had: warned of, since normalisation clips it silently.

A value is far outside where it lies more than `FAR` lengths of the recorded range beyond an end of it. The range is
that of `min` and `max`, of all that was recorded; without them of `q01` and `q99`; else three standard deviations
around the mean. Of a value that never changed the length is its own size, and 1 at least. All of it is a few numbers on
the CPU.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FAR = 2
RANGES = (("min", "max"), ("q01", "q99"))


class FarValue(NamedTuple):
    """A number of a state far outside.

    dimension: its index; name: where the statistics have one; low, high: what was recorded.
    """

    dimension: int
    name: str | None
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """`state[3] (gripper) is 400, recorded were 0 to 1`."""
        name = f" ({self.name})" if self.name else ""
        return f"state[{self.dimension}]{name} is {self.value:.6g}, recorded were {self.low:.4g} to {self.high:.4g}"


def recorded_range(statistics: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of each dimension, (state_dim,) float64."""
    for low, high in RANGES:
        if statistics.get(low) is not None and statistics.get(high) is not None:
            return tuple(np.asarray(statistics[name], dtype=np.float64) for name in (low, high))
    mean, std = (np.asarray(statistics[name], dtype=np.float64) for name in ("mean", "std"))
    return mean - 3 * std, mean + 3 * std


def far_values(state: np.ndarray, statistics: Mapping[str, Any]) -> list[FarValue]:
    """The worst of each dimension that is far outside; state: (batch, state_dim) in the robot's units."""
    low, high = recorded_range(statistics)
    length = high - low
    length = np.where(length > 0, length, np.maximum(np.abs(low), 1))
    beyond = np.maximum(low - state, state - high) / length
    worst = beyond.argmax(axis=0)
    names = names_of(statistics, len(low))
    return [
        FarValue(i, names[i], float(state[worst[i], i]), float(low[i]), float(high[i]))
        for i in np.flatnonzero(beyond.max(axis=0) > FAR).tolist()
    ]


def names_of(statistics: Mapping[str, Any], size: int) -> Sequence[str | None]:
    """Of the dimensions; `None` for each where the statistics do not have as many."""
    names = statistics.get("names") or []
    return names if len(names) == size else [None] * size
