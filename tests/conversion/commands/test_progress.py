"""Work that takes long shows a bar, on stderr alone and not with --quiet, and nothing is coloured unasked."""

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from importlib.util import find_spec
from pathlib import Path

import pytest
from fresh_python import in_fresh_python
from mistakes_desk import write_recording
from PIL import Image
from tqdm.std import tqdm

from vlahub.conversion.cli import main
from vlahub.training import waiting

EXAMPLES = Path(__file__).parents[3] / "examples"
# A call of each command, and the names of its bars: what it does for longer than two seconds at the size of a model
# that somebody uses. Not here: `inspect` reads headers, `serve` has a test below, `push` needs a Hub (tests/hub), and
# the downloads are the Hub's library's.
WRITES = {"writing weights", "verifying", "recomputing"}
SEEN = "--images views/0.png views/1.png --instruction go --state 0 0 0 0 0 0 0 0"
TRAINING = "--dataset data --output out --max-steps 1 --batch-size 1 --rank 2 --use-cpu True --save-strategy no"
BARS = {
    "merge-lora --base base --adapter run --num-images 2 --platform libero --no-center-crop --output out": WRITES,
    "convert base out --platform libero --decoding autoregressive": WRITES,
    "create --family cogvla --base base --action-head l1 --num-action-chunks 4 --output out": WRITES,
    "verify merged": {"hashing", "verifying", "comparing with the model's class"},
    f"predict merged {SEEN}": {"loading the model", "predicting"},
    f"predict merged {SEEN} --plot out.png": {"loading the model", "predicting"},
    "evaluate merged --dataset data --max-samples 2": {"loading the model", "predicting"},
    "stats data --output out.json": {"statistics"},
    "data convert recorded --from hdf5 --output out --instruction go --fps 10": {"converting"},
    "card copy --no-picture": {"running the example"},
    f"train merged {TRAINING}": {"statistics", "loading the model", "computing the first loss", "saving"},
}
# What a process runs that has no colour: all of them, one after the other, with what inspect and errors print.
MORE = ["inspect merged", "inspect run", "inspect nothing", "predict merged --images views/0.png", "verify --no-such"]
EACH = """
import shlex, shutil, sys
from pathlib import Path
from vlahub.conversion.cli import main
for line in sys.argv[1:]:
    try:
        print("exit code", main(shlex.split(line)))
    except SystemExit:
        pass
    for path in Path().glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # beside it bars have codes of the cursor
QUICK = [line for line in BARS if line.split()[0] in ("merge-lora", "verify", "predict", "data")]


@pytest.fixture(scope="module")
def sources(cogvla, merged, tmp_path_factory):
    """A folder with what the calls read, not to be changed."""
    sys.path.insert(0, str(EXAMPLES))
    from tiny_dataset import write_dataset

    sys.path.remove(str(EXAMPLES))
    folder = tmp_path_factory.mktemp("sources")
    for name, source in {"base": cogvla.base, "run": cogvla.run, "merged": merged}.items():
        (folder / name).symlink_to(source)
    write_dataset(folder / "data", episodes=2, frames=4)
    (folder / "views").mkdir()
    for number in range(2):
        Image.new("RGB", (64, 48), (90, 120, 60)).save(folder / "views" / f"{number}.png")
    if find_spec("h5py"):
        write_recording(folder / "recorded")
    return folder


@pytest.fixture
def call(sources, tmp_path, monkeypatch):
    """`call(line, *more)` in a folder of its own with the sources: the exit code."""
    monkeypatch.chdir(tmp_path)
    for source in sources.iterdir():
        (tmp_path / source.name).symlink_to(source)
    shutil.copytree(sources / "merged", tmp_path / "copy")
    return lambda line, *more: main([*shlex.split(line), *more])


@pytest.fixture
def bars(monkeypatch):
    """The names of all bars that are shown: on a terminal, where every moment is long."""
    shown, plain = set(), tqdm.__init__

    def made(bar, *given, **options):
        plain(bar, *given, **options)
        if not bar.disable:
            shown.add(bar.desc)

    monkeypatch.setattr(tqdm, "__init__", made)
    monkeypatch.setattr(waiting, "WAIT", 0)
    return shown


@pytest.mark.every_case
@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=[] if line in QUICK else pytest.mark.slow, id=line) for line in BARS]
)
def test_long_work_has_bars_on_stderr_and_none_when_it_is_quiet(line, call, tmp_path, capsys, bars, monkeypatch):
    if "hdf5" in line:
        pytest.importorskip("h5py")
    if "--plot" in line:
        pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert call(line) == 0
    printed = capsys.readouterr()
    assert {name.removesuffix(": ") for name in bars} >= BARS[line], printed.err
    assert "\r" not in printed.out and "\x1b" not in printed.out
    for path in tmp_path.glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    bars.clear()
    assert call(line, "--quiet") == 0
    printed = capsys.readouterr()
    told = [line for line in printed.err.splitlines() if not line.startswith("warning: assumed")]  # never left out
    assert not bars and not told and (printed.out == "" or json.loads(printed.out))


def test_a_server_shows_what_it_waits_for_before_it_serves(call, capsys, bars, monkeypatch):
    server = pytest.importorskip("vlahub.conversion.serving.server")
    monkeypatch.setattr(server, "run_server", lambda *_, ready: ready())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert call("serve merged --port 0 --fast graphs") == 0
    assert {name.removesuffix(": ") for name in bars} >= {"loading the model", "predicting for the first time"}
    printed = capsys.readouterr()
    assert "serving " in printed.out and "\r" not in printed.out and "no effect on cpu" in printed.err
    bars.clear()
    assert call("serve merged --port 0 --fast graphs --quiet") == 0
    printed = capsys.readouterr()
    assert not bars and printed.out == printed.err == ""


def on_a_terminal(lines, environment):
    """What a process shows on a terminal of 80 columns."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", EACH, *lines], stdout=child, stderr=child, env=environment)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # nobody writes any more
            break
    os.close(parent)
    assert process.wait() == 0
    return shown.decode()


@pytest.mark.slow
def test_nothing_is_coloured_with_no_color_or_in_a_pipe(call, monkeypatch):
    lines = [line for line in [*BARS, *MORE] if "hdf5" not in line or find_spec("h5py")]
    lines = [line for line in lines if "--plot" not in line]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm-256color"}
    shown = on_a_terminal(lines, environment | {"NO_COLOR": "1"})
    assert "writing weights" in shown and "what it is" in shown and "error: " in shown
    assert COLOUR.findall(shown) == []
    assert shown.count("exit code 0") == len(lines) - 3  # of which three fail
    quick = [line for line in lines if line in [*QUICK, *MORE]]
    piped = in_fresh_python(["-c", EACH, *quick], env=environment, cwd=Path.cwd())
    assert piped.returncode == 0, piped.stderr
    assert "\x1b" not in piped.stdout + piped.stderr and "\r" not in piped.stdout
    assert piped.stdout.count("exit code 0") == len(quick) - 3
