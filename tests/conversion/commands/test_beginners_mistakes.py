"""What people get wrong first, command by command: the message names the value and the remedy, and no work is lost."""

import hashlib
import os
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import huggingface_hub.constants
import pytest
from checking_mistakes import CHECKING_MISTAKES
from dataset_mistakes import DATA_MISTAKES
from driving_mistakes import DRIVING_MISTAKES
from evaluating_mistakes import EVALUATING_MISTAKES
from mistakes_desk import linked, write_damaged, write_files, write_scenes
from reading_mistakes import READING_MISTAKES
from transformers import PreTrainedModel
from writing_mistakes import WRITING_MISTAKES

from vlahub.conversion.cli import main
from vlahub.training.lerobot import load_frames

EXAMPLES = Path(__file__).parents[3] / "examples"
WITHOUT_CODE = shutil.ignore_patterns("*.py")


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below, with what changes whenever a file is written."""
    found = {}
    for place, folders, files in os.walk(folder):
        for path in (os.path.join(place, name) for name in [*folders, *files]):
            status = os.lstat(path)
            found[path] = status.st_size, status.st_mtime_ns
    return found


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def example():
    """`example("tiny_dataset")`: a module of examples/, beside which lies what it imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield import_module


@pytest.fixture(scope="module")
def alpamayo(tiny_alpamayo, tmp_path_factory):
    """A folder with `published`, its `vlm`, a `base` with weights, and `driver`, the checkpoint."""
    folder = tmp_path_factory.mktemp("alpamayo")
    tiny_alpamayo.TinyAlpamayo().write(folder)
    words = ["convert", folder / "published", folder / "driver", "--vlm", folder / "vlm", "--quiet"]
    assert main([*map(str, words)]) == 0
    return folder


@pytest.fixture(scope="module")
def desk(cogvla, merged, alpamayo, parts, assembled, example, tmp_path_factory):
    """A folder with what a beginner has, and with what went wrong before; at the end all of it is as it was."""
    desk = tmp_path_factory.mktemp("desk")
    own = {"driver": alpamayo / "driver", "llava": assembled}
    others = {"base": cogvla.base, "run": cogvla.run, "merged": merged, "parts": parts.folder}
    others |= {"qwen": alpamayo / "base", "vlm": alpamayo / "vlm", "published": alpamayo / "published"}
    for name, source in others.items():
        linked(source, desk / name)
    for name, source in own.items():  # there are enough files to look at
        linked(source, desk / name, WITHOUT_CODE)
    write_damaged(desk)
    write_files(desk)
    write_scenes(desk, example("driving_scene"))
    example("tiny_dataset").write_dataset(desk / "data", episodes=3, frames=4)
    load_frames(desk / "data")  # the first time of all it is brought into the cache of datasets, with a bar
    example("tiny_driving_dataset").write_driving_dataset(desk / "drives", episodes=2)
    before = hashes(desk)
    yield desk
    assert hashes(desk) == before


@pytest.fixture(scope="module", autouse=True)
def no_weights():
    """What is refused is refused before a model is loaded."""

    def load(*_, **__):
        raise AssertionError("weights were loaded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainedModel, "from_pretrained", load)
        yield


def rows(table):
    return [pytest.param(line, code, words, id=f"{line.split()[0]}: {name}") for name, (line, code, *words) in table]


def code_of(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


def check(desk, line, code, words, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    before = states(desk)
    assert code_of(shlex.split(line)) == code
    printed = capsys.readouterr()
    assert states(desk) == before, "something was written"
    error = printed.err.splitlines()
    assert "Traceback" not in printed.err and "--debug" not in printed.err, printed.err
    assert len(error) == code and "error: " in error[-1], printed.err  # no bar: said before any work
    assert printed.out == ""
    assert all(word in error[-1] for word in words), error[-1]


MISTAKES = [*WRITING_MISTAKES, *READING_MISTAKES, *DATA_MISTAKES]
MISTAKES += [*CHECKING_MISTAKES, *DRIVING_MISTAKES, *EVALUATING_MISTAKES]


@pytest.mark.parametrize(("line", "code", "words"), rows(MISTAKES))
def test_a_mistake_is_named_with_its_remedy_before_any_work(line, code, words, desk, monkeypatch, capsys):
    check(desk, line, code, words, monkeypatch, capsys)
