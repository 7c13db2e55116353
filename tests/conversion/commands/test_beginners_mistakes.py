"""What people get wrong first, command by command: the message names the value and the remedy, and no work is lost."""

import hashlib
import os
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
from dataset_mistakes import DATA_MISTAKES
from PIL import Image
from reading_mistakes import READING_MISTAKES
from writing_mistakes import WRITING_MISTAKES

from vlahub.conversion.cli import main
from vlahub.training.lerobot import load_frames

EXAMPLES = Path(__file__).parents[3] / "examples"
ADAPTER, HEAD = "lora_adapter/adapter_model.safetensors", "action_head--10_checkpoint.pt"
FIRST, LAST = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4104328\n"
# A damaged folder: what it is a copy of, and the files that are missing (None), cut off (a number), or replaced.
DAMAGED = {
    "no_statistics": ("run", {"dataset_statistics.json": None}),
    "no_head": ("run", {HEAD: None}),
    "no_adapter": ("run", {ADAPTER: None, "lora_adapter/adapter_config.json": None}),
    "no_config": ("run", {"config.json": None}),
    "cut_adapter": ("run", {ADAPTER: 5000}),
    "cut_head": ("run", {HEAD: 5000}),
    "two_heads": ("run", {"action_head--20_checkpoint.pt": b"another"}),
    "runs/monday": ("run", {}),
    "cut_base": ("base", {FIRST: 100_000}),
    "half_base": ("base", {LAST: None}),
    "pointers": ("base", {LAST: POINTER}),
    "cut_merged": ("merged", {"model.safetensors": 100_000}),
    "weightless": ("merged", {"model.safetensors": None}),
    "no_processor": ("merged", dict.fromkeys(PROCESSOR)),
}


def damage(path: Path, change: int | bytes | None) -> None:
    """Files are links to those of other folders: they are replaced, not written into."""
    content = path.read_bytes()[:change] if isinstance(change, int) else change
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below, with what changes whenever a file is written."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def tiny_dataset():
    """The module that writes a LeRobot dataset; beside it lies what it imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return import_module("tiny_dataset")


@pytest.fixture(scope="module")
def desk(cogvla, merged, tiny_dataset, tmp_path_factory):
    """A folder with what a beginner has, and with what went wrong before; at the end all of it is as it was."""
    desk = tmp_path_factory.mktemp("desk")
    for name, source in {"base": cogvla.base, "run": cogvla.run, "merged": merged}.items():
        shutil.copytree(source, desk / name, copy_function=os.link)
    for name, (source, changes) in DAMAGED.items():
        shutil.copytree(desk / source, desk / name, copy_function=os.link)
        for file, change in changes.items():
            damage(desk / name / file, change)
    tiny_dataset.write_dataset(desk / "data", episodes=3, frames=4)
    load_frames(desk / "data")  # the first time of all it is brought into the cache of datasets, with a bar
    for name in ("empty", "kept", "views"):
        (desk / name).mkdir()
    for name in ("note.txt", "text.png", "kept/note.txt"):
        (desk / name).write_text("hello")
    for i in range(2):
        Image.fromarray(np.random.RandomState(i).randint(0, 256, (48, 64, 3)).astype(np.uint8)).save(
            desk / "views" / f"view_{i}.png"
        )
    damage(desk / "short.png", (desk / "views" / "view_0.png").read_bytes()[:500])
    before = hashes(desk)
    yield desk
    assert hashes(desk) == before


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


@pytest.mark.parametrize(("line", "code", "words"), rows([*WRITING_MISTAKES, *READING_MISTAKES, *DATA_MISTAKES]))
def test_a_mistake_is_named_with_its_remedy_before_any_work(line, code, words, desk, monkeypatch, capsys):
    check(desk, line, code, words, monkeypatch, capsys)
