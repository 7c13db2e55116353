"""An output folder appears whole or not at all, whatever ends the process that writes it."""

import ctypes
import errno
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fresh_python import in_fresh_python

from vlahub.conversion import output_folder as output_folder_module
from vlahub.conversion.output_folder import output_folder
from vlahub.errors import ConversionError

KILLED_WHILE_WRITING = """
import resource, signal, sys
from vlahub.conversion import cli

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # a file beyond the limit: the kernel ends the process at once
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
cli.main(sys.argv[1:])
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_old(output):
    """What stands for an earlier checkpoint."""
    output.mkdir()
    (output / "config.json").write_text("{}")
    (output / "model.safetensors").write_text("old")


def write_new(folder):
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("new")


@pytest.fixture(params=["in one step", "by two renames"])
def any_system(request, monkeypatch):
    """Systems that can exchange two names, and those that cannot."""
    if request.param == "by two renames":
        monkeypatch.setattr(output_folder_module, "exchange", lambda first, second: False)


def test_every_file_is_on_the_disk_before_the_folder_has_its_name_and_then_the_name_is(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((os.fstat(descriptor).st_ino, output.exists())))
    output = tmp_path / "out"
    with output_folder(output, overwrite=False) as work:
        write_new(work)
        (work / "deeper").mkdir()
        (work / "deeper" / "view.png").write_bytes(b"png")
    within = {path.stat().st_ino for path in (output, *output.rglob("*"))}
    assert len(within) == 5 and within <= {inode for inode, named in synced if not named}
    assert synced[-1] == (tmp_path.stat().st_ino, True)


def test_a_killed_run_leaves_no_output_and_the_next_one_cleans_up_and_succeeds(cogvla, tmp_path):
    sources = ["--base", str(cogvla.base), "--adapter", str(cogvla.run), *cogvla.options]
    options = ["--output", str(tmp_path / "out"), "--max-shard-size", "1MB"]
    words = ["-c", KILLED_WHILE_WRITING, "merge-lora", *sources, *options]
    child = in_fresh_python(words, env=os.environ, cwd=tmp_path)
    assert child.returncode == -signal.SIGXFSZ, child.stderr
    assert all(name.startswith(".") for name in names(tmp_path))
    assert len(list((tmp_path / ".out.partial").glob("model-*.safetensors"))) > 1  # killed in the middle, not before

    assert cogvla.merge(tmp_path / "out") == 0
    assert names(tmp_path) == ["out"]
    assert {"config.json", "model.safetensors"} < set(names(tmp_path / "out"))


def test_the_folder_has_its_name_only_when_everything_is_in_it(tmp_path):
    output = tmp_path / "deep" / "out"
    with output_folder(output, overwrite=False) as folder:
        (folder / "config.json").write_text("{}")
        assert not output.exists() and folder.parent == output.parent
    assert names(output) == ["config.json"] and names(tmp_path / "deep") == ["out"]


def test_an_output_that_may_not_be_replaced_is_refused_before_anything_is_done(tmp_path):
    write_old(tmp_path / "out")
    with pytest.raises(ConversionError, match="not empty"), output_folder(tmp_path / "out", overwrite=False):
        pytest.fail("hours of work begin here")
    assert names(tmp_path) == ["out"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "out", overwrite=False) as folder:
        (folder / "config.json").write_text("{}")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_a_second_writer_is_refused_while_the_first_writes_and_welcome_afterwards(tmp_path):
    with output_folder(tmp_path / "out", overwrite=False) as folder:
        write_new(folder)
        with (
            pytest.raises(ConversionError, match="another run is writing"),
            output_folder(tmp_path / "out", overwrite=False),
        ):
            pass
        with output_folder(tmp_path / "other", overwrite=False) as other:
            write_new(other)
    with output_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "third").touch()
    assert names(tmp_path / "out") == ["third"] and names(tmp_path) == ["other", "out"]


def test_an_output_that_fills_up_meanwhile_is_not_lost(tmp_path):
    """Nobody asked for `--overwrite`: what another program put there while we wrote must survive."""
    output = tmp_path / "out"
    with pytest.raises(ConversionError, match="not empty"), output_folder(output, overwrite=False) as folder:
        (folder / "config.json").write_text("{}")
        write_old(output)
    assert (output / "model.safetensors").read_text() == "old" and names(tmp_path) == ["out"]


def test_an_old_output_survives_when_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(output_folder_module, "exchange", lambda first, second: False)
    write_old(tmp_path / "out")
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if self.name == ".out.partial":
            raise OSError("input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="input/output"), output_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "model.safetensors").write_text("new")
    assert (tmp_path / "out" / "model.safetensors").read_text() == "old"


def test_an_old_output_survives_a_kill_between_the_two_renames_and_a_failing_next_run(tmp_path):
    """Such a kill leaves the old output under its hidden name only; a next run may not begin by deleting it."""
    write_old(tmp_path / "out")
    child = os.fork()
    if not child:
        try:
            output_folder_module.exchange = lambda first, second: False
            Path.rename = lambda self, target: os.rename(self, target) if self.name == "out" else os._exit(9)
            with output_folder(tmp_path / "out", overwrite=True) as folder:
                (folder / "config.json").write_text("{}")
        finally:
            os._exit(0)  # whatever happens: it would run all further tests a second time
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.replaced").exists()
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "out", overwrite=True):
        raise ZeroDivisionError
    kept = [path.read_text() for path in tmp_path.rglob("model.safetensors")]
    assert kept == ["old"]


def test_an_old_output_is_replaced_whole(any_system, tmp_path):
    write_old(tmp_path / "out")
    with output_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "config.json").write_text("{}")
        assert (tmp_path / "out" / "model.safetensors").read_text() == "old"
    assert names(tmp_path / "out") == ["config.json"] and names(tmp_path) == ["out"]


def test_an_exchange_is_one_step_and_its_absence_changes_nothing(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not output_folder_module.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange names")
    assert names(tmp_path / "a") == ["b"] and names(tmp_path / "b") == ["a"]
    with pytest.raises(FileNotFoundError):
        output_folder_module.exchange(tmp_path / "a", tmp_path / "c")
    for code in (errno.ENOSYS, errno.EINVAL):
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=lambda *_: -1))
        monkeypatch.setattr(ctypes, "get_errno", lambda code=code: code)
        assert not output_folder_module.exchange(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    assert not output_folder_module.exchange(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "a") == ["b"]


def replace_for_ever(output):
    while True:
        with output_folder(output, overwrite=True) as folder:
            write_new(folder)


def test_a_final_name_is_never_without_a_whole_output_and_a_kill_changes_nothing_about_that(tmp_path):
    output = tmp_path / "out"
    write_old(output)
    write_old(tmp_path / "other")
    if not output_folder_module.exchange(output, tmp_path / "other"):
        pytest.skip("this file system cannot exchange names")
    child = os.fork()
    if child == 0:
        try:
            replace_for_ever(output)
        finally:
            os._exit(1)
    seen, start = set(), time.monotonic()
    while (passed := time.monotonic() - start) < 1 or ("new" not in seen and passed < 100):  # on a busy machine
        seen.add((output / "model.safetensors").read_text())
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert seen <= {"old", "new"} and "new" in seen
    assert (output / "config.json").exists() and (output / "model.safetensors").read_text() == "new"
    with output_folder(output, overwrite=True) as folder:
        write_new(folder)
    assert set(names(tmp_path)) == {"other", "out"}


# What somebody else put under the names that a run uses


def plant_link(path):
    (path.parent / "precious").write_text("precious")
    path.symlink_to(path.parent / "precious")


def plant_checkpoint_with_notes(path):
    write_old(path)
    (path / "notes.txt").write_text("precious")


PLANTS = {
    "link": (plant_link, "a link"),
    "file": (lambda path: path.write_text("precious"), "a file|no run of this user"),
    "pipe": (os.mkfifo, "a named pipe"),
}


@pytest.mark.parametrize("suffix", ["lock", "partial", "replaced"])
@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_in_the_way_is_named_and_left_alone(suffix, plant, tmp_path):
    put, words = PLANTS[plant]
    path = tmp_path / f".out.{suffix}"
    put(path)
    files = [p for p in tmp_path.iterdir() if p.is_file()]
    before = names(tmp_path), [p.read_bytes() for p in files]
    with (
        pytest.raises(ConversionError, match=f"{path} is in the way: .*({words})"),
        output_folder(tmp_path / "out", True),
    ):
        raise ZeroDivisionError
    assert (names(tmp_path), [p.read_bytes() for p in files]) == before


def test_a_folder_of_another_user_is_in_the_way(tmp_path, monkeypatch):
    (tmp_path / ".out.partial").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(output_folder_module, "opened_lock", lambda path: os.open(path, os.O_RDWR | os.O_CREAT))
    with pytest.raises(ConversionError, match="belongs to another user"), output_folder(tmp_path / "out", True):
        raise ZeroDivisionError
    assert (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize("put", [plant_checkpoint_with_notes, lambda path: path.mkdir()])
def test_a_planted_folder_never_becomes_the_output_nor_goes(put, tmp_path):
    put(tmp_path / ".out.replaced")
    if not any((tmp_path / ".out.replaced").iterdir()):
        (tmp_path / ".out.replaced" / "notes.txt").write_text("precious")
    with pytest.raises(ConversionError, match=r"notes\.txt"), output_folder(tmp_path / "out", overwrite=True):
        raise ZeroDivisionError
    assert names(tmp_path) == [".out.replaced"]
    assert (tmp_path / ".out.replaced" / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("with_output", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_planted_checkpoint_never_becomes_the_output_nor_goes(overwrite, with_output, tmp_path):
    """Only what the lock of a killed run tells of comes back."""
    write_old(tmp_path / ".out.replaced")
    if with_output:
        write_old(tmp_path / "out")
    with (
        pytest.raises(ConversionError, match=r"out.*(no run has noted|not empty)"),
        output_folder(tmp_path / "out", overwrite),
    ):
        raise ZeroDivisionError
    assert (tmp_path / ".out.replaced/model.safetensors").read_text() == "old"
    assert (tmp_path / "out").exists() == with_output


def test_folders_that_were_made_for_an_output_go_when_it_does_not_come(tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "kept" / "a" / "b" / "out", overwrite=False):
        raise ZeroDivisionError
    assert names(tmp_path) == ["kept"] and names(tmp_path / "kept") == []
