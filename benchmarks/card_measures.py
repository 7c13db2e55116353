"""What one prediction costs on a device: time, kernels, memory, and how far it is from reading its weights once."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.timing import timed

NO_KERNELS = ("Memcpy", "Memset")


@dataclass(frozen=True)
class Measured:
    """Of one call.

    Attributes:
        first, median, minimum: seconds; the first call records graphs and compiles.
        kernels: launched or replayed, and the seconds that they ran in all; `None` where there is no CUDA.
        memory: the most bytes that were allocated during the calls, with the weights; `None` on a CPU.
        costliest: the seconds of kernels (on a CPU: of operators) by name, the ten costliest.
        actions: what it returned, on the CPU; in the table also what it did for other inputs.
    """

    first: float
    median: float
    minimum: float
    kernels: int | None
    busy: float | None
    memory: int | None
    costliest: list[tuple[str, float]]
    actions: torch.Tensor


def measure(call: Callable[[], torch.Tensor], device: str, runs: int, with_profiler: bool) -> Measured:
    """The call once, `runs` times, and once under the profiler."""
    on_card = device != "cpu"
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    first = timed(call, device)
    found = []
    seconds = [timed(lambda: found.append(call()), device) for _ in range(runs)]
    memory = torch.cuda.max_memory_allocated() if on_card else None
    count, busy, costliest = profiled(call, device) if with_profiler else (None, None, [])
    actions = found[-1].float().cpu()
    return Measured(first, statistics.median(seconds), min(seconds), count, busy, memory, costliest, actions)


def profiled(call: Callable[[], object], device: str) -> tuple[int | None, float | None, list[tuple[str, float]]]:
    """How many kernels, their seconds, and the ten costliest by name."""
    if device == "cpu":
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            call()
        by_name = Counter({each.key: each.self_cpu_time_total / 1e6 for each in profiler.key_averages()})
        return None, None, by_name.most_common(10)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:  # a driver's operators take minutes to be read
        call()
        torch.cuda.synchronize()
    events = [each for each in profiler.events() if each.device_type == DeviceType.CUDA]
    by_name = Counter()
    for each in events:
        by_name[each.name] += each.time_range.elapsed_us() / 1e6
    kernels = sum(not each.name.startswith(NO_KERNELS) for each in events)
    return kernels, sum(by_name.values()), by_name.most_common(10)


def bandwidth(device: str) -> float:
    """Bytes a second that a copy reads and writes, the best of ten."""
    source = torch.empty((2**30 if device != "cpu" else 2**26) // 4, device=device).normal_()
    target = torch.empty_like(source)
    best = min(timed(lambda: target.copy_(source), device) for _ in range(11))
    return 2 * source.numel() * source.element_size() / best


class Budget:
    """How much of the minutes is left."""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes

    @property
    def is_spent(self) -> bool:
        return time.monotonic() >= self.end
