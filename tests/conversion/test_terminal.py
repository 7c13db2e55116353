"""What commands show: plain lines where a program reads, a drawn table where a person looks, bars on stderr."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from vlahub.conversion import terminal
from vlahub.conversion.cli import main
from vlahub.conversion.table_lines import Column, Table, plain_text
from vlahub.conversion.terminal import is_plain, text_of

ACTIONS = Table(
    [Column("step", right=True, width=4), Column("gripper", right=True, width=9), Column("note", folds=True)],
    [["0", "-0.1250", "[bold]no markup[/bold]"], ["1", "12345678.5", ""]],
    "actions:",
)
LINES = ["actions:", "step    gripper note", "   0    -0.1250 [bold]no markup[/bold]", "   1 12345678.5"]


@pytest.fixture
def on_a_terminal(monkeypatch):
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    return monkeypatch


def test_what_is_piped_is_aligned_columns_without_control_characters(monkeypatch):
    assert is_plain() and text_of(ACTIONS) == plain_text(ACTIONS) == "\n".join(LINES)
    assert plain_text(Table(ACTIONS.columns, ACTIONS.rows, header=False)).splitlines() == LINES[2:]


def test_a_terminal_gets_a_drawn_table_with_every_number_whole(on_a_terminal):
    pytest.importorskip("rich")
    on_a_terminal.setenv("COLUMNS", "40")
    text = text_of(ACTIONS)
    assert "\x1b[1m" in text and "─" in text and "12345678.5" in text
    assert "[bold]no" in text and len(text.splitlines()) > len(LINES) + 2  # the long text is folded


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "12")])
def test_a_terminal_that_cannot_or_must_not_gets_plain_lines(name, value, on_a_terminal):
    on_a_terminal.setenv(name, value)
    assert text_of(ACTIONS) == "\n".join(LINES)


def test_without_rich_a_terminal_gets_plain_lines(on_a_terminal):
    on_a_terminal.setattr(terminal.importlib.util, "find_spec", lambda name: None)
    assert text_of(ACTIONS) == "\n".join(LINES)


PARTS = Table(
    [Column("part", before="  ", folds=True), Column("bytes", right=True, before="  "), Column("dtype", before="  ")],
    [["FiLM and aggregation tokens of the towers", "35,300", "float32"], ["projector", "1", "bfloat16"]],
    "parts of a checkpoint, and what they are stored as",
)
SETTINGS = Table(
    [
        Column("", before="  "),
        Column("", before="  ", ragged=True),
        Column("", before="  -  ", ragged=True, folds=True),
    ],
    [["bins", "256", "read (config.json of the training run)"], ["decoding", "parallel", "assumed"]],
    header=False,
)


def test_a_narrow_terminal_gets_texts_broken_inside_of_their_column_and_numbers_whole():
    assert plain_text(PARTS, width=45).splitlines() == [
        "parts of a checkpoint, and what they are",
        "  stored as",
        "  part                        bytes  dtype",
        "  FiLM and aggregation       35,300  float32",
        "  tokens of the towers",
        "  projector                       1  bfloat16",
    ]
    assert plain_text(SETTINGS, width=40).splitlines() == [
        "  bins      256  -  read (config.json of",
        "              the training run)",
        "  decoding  parallel  -  assumed",
    ]
    assert plain_text(PARTS, width=30).splitlines()[2:] == plain_text(PARTS).splitlines()[1:]  # no room: rows are whole
    assert plain_text(PARTS, SETTINGS, width=200) == plain_text(PARTS, SETTINGS)


def test_inspect_keeps_to_the_width_of_a_terminal_but_for_commands(merged, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["inspect", str(merged)]) == 0
    narrow = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert main(["inspect", str(merged)]) == 0
    whole = capsys.readouterr().out.splitlines()
    assert [line for line in narrow if len(line) > 60 and not line.startswith("  vlahub ")] == []
    assert max(map(len, whole)) > 60 and len(narrow) > len(whole)
    letters, wanted = (sorted("".join("".join(lines).replace("█", "#").split())) for lines in (narrow, whole))
    assert letters == wanted  # nothing is cut off


WAIT = """
import time
from vlahub.conversion import terminal
from vlahub.training import waiting
waiting.WAIT = 0.05
with waiting.waiting("predicting"):
    time.sleep(0.3)
with terminal.quiet_libraries(), waiting.waiting("quietly"):
    time.sleep(0.3)
print("done")
"""


@pytest.mark.slow
def test_work_without_steps_shows_its_time_on_a_terminal_alone():
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    asked = {"stdout": subprocess.PIPE, "text": True, "check": True, "env": os.environ | {"TERM": "xterm"}}
    done = subprocess.run([sys.executable, "-c", WAIT], stderr=child, **asked)
    os.set_blocking(parent, False)
    shown = os.read(parent, 10_000).decode()
    os.close(child)
    os.close(parent)
    assert "predicting 00:00" in shown and "quietly" not in shown and done.stdout == "done\n"
    piped = subprocess.run([sys.executable, "-c", WAIT], stderr=subprocess.PIPE, **asked)
    assert (piped.stdout, piped.stderr) == ("done\n", "")
