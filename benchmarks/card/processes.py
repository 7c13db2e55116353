"""The processes that check, several at a time, and what becomes of them: what they found, or why they found nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from benchmarks.card.results import FAILED, Result

FOLDER = Path(__file__).parents[2]
FAMILIES = ("cogvla", "mapanything_llava3d", "multimodal_vla", "alpamayo_r1")
MOST = 12
TAIL = 400  # characters of what a process said last
PAUSE = 0.2  # seconds between looks
PARTS = {("compiled", "alpamayo_r1"): 2}  # so many processes share the jobs, which compile for minutes one by one


@dataclass
class Unit:
    """One process: checks, of one family or of all; part: which jobs of them, the first of two and so on."""

    checks: tuple[str, ...]
    family: str | None
    part: tuple[int, int] = (0, 1)
    process: subprocess.Popen | None = None
    files: tuple[Path, Path] | None = None

    def start(self, device: str, folder: Path) -> None:
        name = f"{'_'.join(self.checks)}_{self.family}_{self.part[0]}"
        lines, log = self.files = folder / f"{name}.jsonl", folder / f"{name}.log"
        words = [device, self.family or "all", ",".join(self.checks), str(lines), *map(str, self.part)]
        command = [sys.executable, "-m", "benchmarks.card.process", *words]
        env = environment(device, self.checks)
        with log.open("w") as said:
            self.process = subprocess.Popen(
                command, cwd=FOLDER, env=env, stdout=said, stderr=said, start_new_session=True
            )

    def stop(self) -> None:
        """With the processes that it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def results(self, reason: str | None) -> list[Result]:
        """What it found; and a failure, where it was cut off for a reason, ended badly or found nothing."""
        lines, log = self.files or (None, None)
        text = lines.read_text(encoding="utf-8") if lines and lines.exists() else ""
        found = [Result(**json.loads(line)) for line in text.splitlines() if line.endswith("}")]
        if reason is None and self.process.returncode:
            reason = f"its process ended with {self.process.returncode}: ...{log.read_text()[-TAIL:]}"
        if reason is None and not found:
            reason = "it found nothing"
        if reason:
            after = f" after {found[-1].check}, {found[-1].case}" if found else ""
            what = ", ".join(self.checks)
            found.append(Result(what, self.family or "all", "", None, None, FAILED, reason + after, 0.0))
        return found


def units(device: str, checks: tuple[str, ...], family: str | None) -> list[Unit]:
    """On a card a process for each check and family, or several; on a CPU, where they would share two cores, one."""
    if device == "cpu":
        return [Unit(checks, family)]
    families = (family,) if family else FAMILIES
    found = []
    for check, each in product(checks, families):
        parts = PARTS.get((check, each), 1)
        found += [Unit((check,), each, (number, parts)) for number in range(parts)]
    return found


@dataclass
class Run:
    """All processes: device, when it has to be over, and how many run at a time."""

    device: str
    end: float
    processes: int | None = None
    running: list[Unit] = field(default_factory=list)

    def results(self, waiting: list[Unit]) -> list[Result]:
        at_once = self.processes or min(MOST, os.cpu_count() or 1)
        found, waiting = [], list(waiting)
        with tempfile.TemporaryDirectory() as folder:
            try:
                while (waiting or self.running) and time.monotonic() < self.end:
                    while waiting and len(self.running) < at_once:
                        self.running.append(waiting.pop(0))
                        self.running[-1].start(self.device, Path(folder))
                    time.sleep(PAUSE)
                    found += self.ended()
            finally:
                for unit in self.running:
                    unit.stop()
            for unit in self.running:
                found += unit.results("the time was over")
            for unit in waiting:
                found += unit.results("the time was over before it began")
        return found

    def ended(self) -> list[Result]:
        done = [unit for unit in self.running if unit.process.poll() is not None]
        self.running = [unit for unit in self.running if unit not in done]
        for unit in done:
            print(f"{', '.join(unit.checks)}, {unit.family or 'all families'}: done", file=sys.stderr, flush=True)
        return [result for unit in done for result in unit.results(None)]


def environment(device: str, checks: tuple[str, ...]) -> dict[str, str]:
    """Nothing is asked of a network; a CPU's run sees no card, another one, or those that a check spreads models over;
    compilers share the cores."""
    settings = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    settings |= {"TORCHINDUCTOR_COMPILE_THREADS": "4"}
    cards = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1").split(",")
    seen = cards[: 2 if checks == ("spread",) else 1]
    settings["CUDA_VISIBLE_DEVICES"] = "" if device == "cpu" else ",".join(seen)
    return {**os.environ, **settings}
