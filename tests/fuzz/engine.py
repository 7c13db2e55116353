"""Cases run one after the other in a forked process, which may hang, crash or grow without harm to the others."""

import faulthandler
import multiprocessing
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from vlahub.errors import VLAError

from .target import Target
from .watch import Doings, content_of, limit_memory, limit_time

MARKER = "MARKER"  # beside the input of a case; what a payload would make


@dataclass(frozen=True)
class Outcome:
    """How a case ended: "refused" or "answered", or, with what went wrong, as a "fault"."""

    case: int
    kind: str
    change: str = ""
    text: str = ""


@dataclass(frozen=True)
class Fuzzer:
    """Runs the cases of one target by one seed in folders of `root`.

    allowed: folders that may be written beside the output of a case, such as caches.
    """

    target: Target
    seed: int
    root: Path
    allowed: tuple[Path, ...] = ()

    def outcomes(self, first: int = 0, count: int | None = None, seconds: float | None = None) -> Iterator[Outcome]:
        """Of the cases from `first` on, until there are `count` or the time is over."""
        end = None if seconds is None else time.monotonic() + seconds
        case = first
        while (count is None or case < first + count) and (end is None or time.monotonic() < end):
            for outcome in self.of_one_worker(case, first + count if count is not None else None, end):
                yield outcome
                case = outcome.case + 1

    def of_one_worker(self, case: int, stop: int | None, end: float | None) -> Iterator[Outcome]:
        """Until the last case is done or the worker has died of one."""
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        log = self.root / "worker.log"
        worker = context.Process(target=self.work, args=(theirs, case, stop, end, log))
        worker.start()
        theirs.close()
        last, begun = case - 1, False
        try:
            while True:
                outcome = ours.recv()
                begun = outcome is None
                if outcome is not None:
                    last = outcome.case
                    yield outcome
        except EOFError:
            worker.join()
        finally:
            worker.kill()
            worker.join()
        if begun or worker.exitcode:
            stacks = log.read_text(errors="replace") if log.exists() else ""
            yield Outcome(last + 1, "fault", "", f"the process ended with {worker.exitcode}\n{stacks}")

    def work(self, pipe, case: int, stop: int | None, end: float | None, log: Path) -> None:
        """The life of a worker."""
        doings = Doings([log, *self.allowed])
        limit_memory()
        with open(log, "w") as file:
            faulthandler.enable(file)
            while (stop is None or case < stop) and (end is None or time.monotonic() < end):
                pipe.send(None)
                limit_time(file)
                pipe.send(self.outcome(case, doings))
                case += 1
            faulthandler.cancel_dump_traceback_later()
        pipe.close()
        os._exit(0)  # nothing that the process that forked has opened is closed here

    def folder_of(self, case: int) -> Path:
        return self.root / f"{self.target.name}-{self.seed}-{case}"

    def outcome(self, case: int, doings: Doings) -> Outcome:
        """Run a case; its folder stays where it is a fault."""
        folder = self.folder_of(case)
        shutil.rmtree(folder, ignore_errors=True)
        given, output = folder / "given", folder / "output"
        for each in (given, output, folder / "desk"):
            each.mkdir(parents=True)
        os.chdir(folder / "desk")
        change = "(none: the target failed before)"
        try:
            change = self.target.change(Random(f"{self.target.name} {self.seed} {case}"), given)
            outcome = self.judged(case, change, given, output, doings)
        except Exception:
            outcome = Outcome(case, "fault", "a fault of the target itself", traceback.format_exc())
        os.chdir(self.root)
        if outcome.kind == "fault":
            (folder / "outcome.txt").write_text(f"{change}\n\n{outcome.text}", errors="backslashreplace")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def judged(self, case: int, change: str, given: Path, output: Path, doings: Doings) -> Outcome:
        """Run the product on an input, and look at what it left."""
        before = content_of(given)
        doings.found.clear()
        doings.output = str(output)
        kind, text = "answered", ""
        try:
            self.target.run(given, output)
        except VLAError as error:
            kind, text = "refused", str(error)
            if not text.strip():
                kind, text = "fault", f"{type(error).__name__} without a message"
        except BaseException:
            kind, text = "fault", traceback.format_exc()
        doings.output = None
        wrong = self.left_behind(given, before, doings)
        return Outcome(case, "fault", change, f"{wrong}\n{text}") if wrong else Outcome(case, kind, change, text)

    def left_behind(self, given: Path, before: dict, doings: Doings) -> str:
        """What was written where nothing may be, or run; "" for nothing."""
        after = content_of(given)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        marks = [str(path) for path in given.parent.rglob(f"{MARKER}*")]
        parts = [("a payload ran", marks), ("the input changed", changed), ("forbidden", doings.found)]
        return "; ".join(f"{what}: {', '.join(found[:5])}" for what, found in parts if found)
