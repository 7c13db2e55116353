"""An output folder appears whole or not at all, whatever ends the process that writes it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
    output.mkdir()
    (output / "model.safetensors").write_text("old")


def test_a_killed_run_leaves_no_output_and_the_next_one_cleans_up_and_succeeds(cogvla, tmp_path):
    sources = ["--base", str(cogvla.base), "--adapter", str(cogvla.run), *cogvla.options]
    options = ["--output", str(tmp_path / "out"), "--max-shard-size", "1MB"]
    child = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, "merge-lora", *sources, *options], capture_output=True, timeout=200
    )
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


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "out", overwrite=False) as folder:
        (folder / "config.json").write_text("{}")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_a_second_writer_is_refused_while_the_first_writes_and_welcome_afterwards(tmp_path):
    with output_folder(tmp_path / "out", overwrite=False) as folder:
        (folder / "first").touch()
        with (
            pytest.raises(ConversionError, match="another run is writing"),
            output_folder(tmp_path / "out", overwrite=False),
        ):
            pass
        with output_folder(tmp_path / "other", overwrite=False) as other:
            (other / "second").touch()
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
    write_old(tmp_path / ".out.replaced")
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "out", overwrite=True):
        raise ZeroDivisionError
    kept = [path.read_text() for path in tmp_path.rglob("model.safetensors")]
    assert kept == ["old"]
