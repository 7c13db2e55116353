"""Targets in turn, each for its share of the time, and what is printed of them."""

import argparse
import os
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import torch

from .engine import Fuzzer, Outcome
from .target import Target
from .targets import TARGETS

FRAME = re.compile(r'File "(?P<file>[^"]*)", line \d+(?:, in (?P<function>\S+))?')
REPOSITORY = Path(__file__).parents[2]


def run(arguments: argparse.Namespace, place: Path) -> int:
    """Returns the number of faults."""
    torch.set_num_threads(1)
    chosen = [TARGETS[name]() for name in arguments.target or TARGETS]
    end, faults = time.monotonic() + arguments.seconds, 0
    for i, target in enumerate(chosen):
        folder = place / target.name
        (folder / "valid").mkdir(parents=True)
        start = time.monotonic()
        target.prepare(folder / "valid")
        fuzzer = Fuzzer(target, arguments.seed, folder, (place / "cache", place / "temporary"))
        kinds = run_target(fuzzer, arguments, (end - time.monotonic()) / (len(chosen) - i))
        said = ", ".join(f"{kinds[kind]} {kind}" for kind in ("refused", "answered", "fault"))
        print(f"{target.name}: {said} in {time.monotonic() - start:.0f} s", flush=True)
        faults += kinds["fault"]
    return faults


def run_target(fuzzer: Fuzzer, arguments: argparse.Namespace, share: float) -> Counter[str]:
    """How many cases ended how; of several faults in one place the first is shown.

    share: seconds, where nothing says how many cases there are.
    """
    kinds, seen = Counter(), set()
    for outcome in fuzzer.outcomes(**limits_of(arguments, fuzzer.target, share)):
        kinds[outcome.kind] += 1
        place = place_of(outcome.text)
        if outcome.kind == "fault" and place not in seen:
            seen.add(place)
            tell(fuzzer, outcome, kept(fuzzer, outcome, arguments.keep))
        elif arguments.case is not None:
            tell(fuzzer, outcome)
    return kinds


def limits_of(arguments: argparse.Namespace, target: Target, share: float) -> dict:
    """Arguments of `Fuzzer.outcomes`."""
    if arguments.case is not None:
        return {"first": arguments.case, "count": 1}
    return {"count": target.slice} if arguments.slice else {"seconds": max(1.0, share)}


def place_of(text: str) -> str:
    """Where a fault lies: the innermost function of the product in a traceback, and the type of the error."""
    inside = [f"{found['file']} {found['function']}" for found in FRAME.finditer(text) if is_ours(found["file"])]
    last = next(iter(reversed(text.rstrip().splitlines())), "")
    return f"{inside[-1] if inside else ''} {last.partition(':')[0]}"


def is_ours(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(REPOSITORY) and path.relative_to(REPOSITORY).parts[0] not in ("tests", ".venv", ".venv4")


def tell(fuzzer: Fuzzer, outcome: Outcome, kept: str = "") -> None:
    print(f"--- {fuzzer.target.name}, {outcome.kind}: {outcome.change}\n{outcome.text.rstrip()}")
    print(f"    alone: make fuzz TARGET={fuzzer.target.name} SEED={fuzzer.seed} CASE={outcome.case}", flush=True)
    if kept:
        print(f"    its input: {kept}", flush=True)


def kept(fuzzer: Fuzzer, outcome: Outcome, place: Path) -> str:
    """Copy the folder of a case to where it outlives this process."""
    folder = fuzzer.folder_of(outcome.case)
    kept = place / folder.name
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept, symlinks=True)
    return os.path.relpath(kept)
