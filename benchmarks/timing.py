"""Timing of several functions in turn, so that a machine whose speed drifts slows them all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one function over all runs."""

    minimum: float
    median: float


def interleaved(functions: Mapping[str, Callable[[], object]], runs: int, device: str = "cpu") -> dict[str, Timing]:
    """Time every function `runs` times, one after another in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(runs + 1):
        for name, function in functions.items():
            elapsed = timed(function, device)
            if round_number:
                seconds[name].append(elapsed)
    return {name: Timing(min(values), statistics.median(values)) for name, values in seconds.items()}


def timed(function: Callable[[], object], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start
