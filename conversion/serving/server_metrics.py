"""What a server counts, as Prometheus reads it (text format 0.0.4)."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAR_STATES = "vlahub_far_states_total"

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of values up to each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]):
        self.bounds, self.counts, self.sum = tuple(bounds), [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: Labels) -> list[str]:
        total, lines = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f"{name}_bucket{written((*labels, ('le', bound)))} {total}")
        return [*lines, f"{name}_sum{written(labels)} {self.sum}", f"{name}_count{written(labels)} {total}"]


class ServerMetrics:
    """Requests by model, protocol and status, their seconds, sizes of batches and odd states; for any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: Counter[Labels] = Counter()
        self.far: Counter[Labels] = Counter()
        self.seconds: dict[Labels, Histogram] = {}
        self.batches: dict[Labels, Histogram] = {}

    def add_request(self, model: str, protocol: str, status: int, seconds: float) -> None:
        labels = (("model", model), ("protocol", protocol))
        with self.lock:
            self.requests[(*labels, ("status", str(status)))] += 1
            self.seconds.setdefault(labels, Histogram(SECONDS)).add(seconds)

    def add_batch(self, model: str, size: int) -> None:
        with self.lock:
            self.batches.setdefault((("model", model),), Histogram(SIZES)).add(size)

    def add_far(self, model: str, dimensions: Sequence[int]) -> None:
        with self.lock:
            self.far.update((("dimension", str(i)), ("model", model)) for i in dimensions)

    def text(self, gauges: Mapping[str, Mapping[str, float]]) -> str:
        """All of it; gauges: what is counted elsewhere, `{name: {model: value}}`."""
        with self.lock:
            lines = ["# HELP vlahub_requests_total Answered requests.", "# TYPE vlahub_requests_total counter"]
            lines += [f"vlahub_requests_total{written(key)} {count}" for key, count in sorted(self.requests.items())]
            lines += [f"# HELP {FAR_STATES} States far outside of the training's.", f"# TYPE {FAR_STATES} counter"]
            lines += [f"{FAR_STATES}{written(key)} {count}" for key, count in sorted(self.far.items())]
            for name, what, kept in (
                ("vlahub_request_seconds", "From a request to its answer.", self.seconds),
                ("vlahub_batch_size", "Requests that were predicted together.", self.batches),
            ):
                lines += [f"# HELP {name} {what}", f"# TYPE {name} histogram"]
                lines += [line for labels in sorted(kept) for line in kept[labels].lines(name, labels)]
        for name, values in gauges.items():
            lines.append(f"# TYPE {name} gauge")
            lines += [f"{name}{written((('model', model),))} {value}" for model, value in values.items()]
        return "\n".join(lines) + "\n"


def written(labels: Labels) -> str:
    """Labels in braces, with what needs it escaped."""
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    return "{" + ",".join(f'{name}="{value.translate(escapes)}"' for name, value in labels) + "}"
