"""One process of checks: python -m benchmarks.card.process DEVICE FAMILY|all CHECK,CHECK,... LINES NUMBER PARTS

LINES gets one line of JSON for each result, as soon as it is there: what follows may end the process. Of each check's
jobs it does those of one part, as cards are dealt: NUMBER 1 of 3 PARTS is the second, the fifth and so on.
"""

import importlib
import json
import sys

import torch

from benchmarks.card.device import as_precise_as_possible
from benchmarks.card.results import FAILED, Job, Result, results_of, told


def main(device: str, family: str | None, checks: list[str], lines: str, number: int, parts: int) -> None:
    as_precise_as_possible()
    if device == "cpu":
        torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other
    with open(lines, "a", encoding="utf-8") as file:
        for check in checks:
            for job in jobs_of(check, device, family)[number::parts]:
                for result in [job] if isinstance(job, Result) else results_of(job):
                    file.write(json.dumps(result.as_dict(), allow_nan=False) + "\n")
                    file.flush()


def jobs_of(check: str, device: str, family: str | None) -> list[Job | Result]:
    """A file that cannot be imported is one failure."""
    try:
        return list(importlib.import_module(f"benchmarks.card.{check}").jobs(device, family))
    except Exception as error:
        return [Result(check, "", "", None, None, FAILED, told(error), 0.0)]


if __name__ == "__main__":
    device, family, checks, lines, number, parts = sys.argv[1:]
    main(device, None if family == "all" else family, checks.split(","), lines, int(number), int(parts))
