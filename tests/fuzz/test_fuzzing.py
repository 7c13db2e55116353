"""A few cases of every target of `make fuzz`, by a fixed seed; what a fault is, engine.py says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vlahub.errors import InputError

from .engine import MARKER, Fuzzer
from .target import Target

REPOSITORY = Path(__file__).parents[2]


def test_no_case_of_the_slice_is_a_fault(tmp_path):
    """In a process of its own: what it makes, limits and starts is nothing to other tests."""
    path = os.pathsep.join(str(REPOSITORY / name) for name in ("tests", "examples"))
    command = [sys.executable, "-W", "ignore", "-m", "fuzz", "--slice", "--keep", str(tmp_path)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


class Wrong(Target):
    """Does what its cases say."""

    name = "wrong"

    def __init__(self, doings):
        self.doings = doings

    def change(self, random, folder):
        return "none"

    def run(self, folder, output):
        self.doings(folder, output)


def refuses(folder, output):
    raise InputError("no")


def answers(folder, output):
    (output / "x").write_text("here it may be written")


def raises(folder, output):
    raise KeyError("x")


def runs(folder, output):
    (folder.parent / MARKER).mkdir()


def changes_its_input(folder, output):
    (folder / "x").write_text("")


def writes_elsewhere(folder, output):
    Path(folder.parent.parent / "elsewhere").write_text("")


def starts_a_program(folder, output):
    subprocess.run(["true"])


def ends_the_process(folder, output):
    os.abort()


def fills_the_memory(folder, output):
    bytearray(3 * 2**30)


KINDS = {refuses: "refused", answers: "answered"}
FAULTS = {
    raises: "KeyError",
    runs: "a payload ran",
    changes_its_input: "the input changed",
    writes_elsewhere: "forbidden: open",
    starts_a_program: "forbidden: subprocess",
    ends_the_process: "ends_the_process",
    fills_the_memory: "MemoryError",
}


@pytest.mark.parametrize("doings", [*KINDS, *FAULTS], ids=lambda doings: doings.__name__)
def test_what_a_case_does_is_found(doings, tmp_path):
    """Two cases: the one after a fault runs, too."""
    found = list(Fuzzer(Wrong(doings), 0, tmp_path).outcomes(count=2))
    assert [(each.case, each.kind) for each in found] == [(i, KINDS.get(doings, "fault")) for i in (0, 1)]
    assert FAULTS.get(doings, "") in found[1].text
    assert all((tmp_path / f"wrong-0-{i}").exists() == (doings in FAULTS) for i in (0, 1))


def test_a_case_that_hangs_is_ended_and_shows_where(tmp_path, monkeypatch):
    def hangs(folder, output):
        while True:
            pass

    monkeypatch.setattr("fuzz.watch.SECONDS", 0.5)
    (found,) = Fuzzer(Wrong(hangs), 0, tmp_path).outcomes(count=1)
    assert found.kind == "fault" and "in hangs" in found.text
