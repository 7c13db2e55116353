"""Checks of what a card computes: python -m benchmarks.card [--device cuda|cpu] [--family FAMILY] [--checks CHECK,...]

The table is printed, everything is in the JSON; the exit status is 1 where a check failed. Each check has processes of
its own on a card, one a family: what one of them breaks is whole in the others.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.card.processes import FAMILIES, Run, units
from benchmarks.card.report import report_of, summary, write_json, write_section

# One file each, those that take longest first.
CHECKS = ("compiled", "fast_prediction", "training", "low_bits")
CHECKS += ("parity", "spread", "rounding", "memory", "trainer", "host_waits")
MINUTES = {"cuda": 4.0, "cpu": 60.0}


def main(words: list[str] | None = None) -> int:
    arguments = parsed(words)
    device = arguments.device if arguments.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        print("--device cuda: torch sees no CUDA device here.", file=sys.stderr)
        return 2
    start = time.monotonic()
    minutes = arguments.minutes or MINUTES[device]
    run = Run(device, start + 60 * minutes, arguments.processes)
    with ends_with_what_it_started():
        results = run.results(units(device, arguments.checks, arguments.family))
    report = report_of(device, results, time.monotonic() - start)
    write_json(report, Path(arguments.json))
    print(summary(report))
    if arguments.write:
        write_section(report)
    return int(report["failed"] > 0)


@contextmanager
def ends_with_what_it_started() -> Iterator[None]:
    """Inside, SIGTERM is an exit as any other, before which processes that were started are stopped."""
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.card", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--family", choices=FAMILIES, help="a model_type; all of them by default")
    parser.add_argument("--checks", type=lambda text: tuple(text.split(",")), default=CHECKS, help=",".join(CHECKS))
    parser.add_argument("--minutes", type=float, help="what is not done by then has failed: 4 on a card, 60 on a CPU")
    parser.add_argument("--processes", type=int, help="at a time; on a card as many as cores, up to 12")
    parser.add_argument("--json", default="card.json", help="where the results go")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    arguments = parser.parse_args(words)
    if unknown := sorted(set(arguments.checks) - set(CHECKS)):
        parser.error(f"--checks {','.join(unknown)}: choose from {','.join(CHECKS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
