"""What a check found, figure by figure; one that raises has failed with its message, and the others still run."""

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
MAX_MESSAGE = 600  # characters of an error


class Skipped(Exception):
    """Raised by a job that cannot run here; its text says why."""


@dataclass(frozen=True)
class Figure:
    """A number that shall be at most `bound`; without a bound it is told and holds, if it is finite."""

    name: str
    value: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        return math.isfinite(self.value) and (self.bound is None or self.value <= self.bound)


@dataclass(frozen=True)
class Result:
    """One line of the table. why: the error, or what was missing; seconds: since the job's figure before."""

    check: str
    case: str
    figure: str
    value: float | None
    bound: float | None
    outcome: str
    why: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON, which knows no number that is not finite: `None` then, and `why` tells it."""
        line = asdict(self)
        wrong = [name for name in ("value", "bound") if line[name] is not None and not math.isfinite(line[name])]
        return line | dict.fromkeys(wrong)


@dataclass(frozen=True)
class Job:
    """A part of a check: `run` yields its figures."""

    check: str
    case: str
    run: Callable[[], Iterable[Figure]]


def results_of(job: Job) -> Iterator[Result]:
    """Of one job, as they come."""
    start = time.monotonic()

    def result(figure: str, value: float | None, bound: float | None, outcome: str, why: str = "") -> Result:
        nonlocal start
        seconds, start = time.monotonic() - start, time.monotonic()
        return Result(job.check, job.case, figure, value, bound, outcome, why, round(seconds, 2))

    count = 0
    try:
        for figure in job.run():
            count += 1
            outcome = PASSED if figure.holds else FAILED
            wanted = "finite" if figure.bound is None else f"at most {figure.bound:.3g}"
            why = "" if figure.holds else f"{figure.value:.3g} is not {wanted}"
            yield result(figure.name, figure.value, figure.bound, outcome, why)
        if not count:
            yield result("", None, None, FAILED, "it looked at nothing")
    except Skipped as reason:
        yield result("", None, None, SKIPPED, str(reason))
    except Exception as error:
        yield result("", None, None, FAILED, told(error))


def told(error: Exception) -> str:
    """The error in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_MESSAGE] + place
