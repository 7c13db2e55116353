"""Outputs that may not be written, sources that are not there, failures while writing: nothing changes on disk."""

import contextlib
import fcntl
import re
import resource
import signal

import huggingface_hub.constants
import pytest
from safetensors import SafetensorError

from vlahub.conversion import job
from vlahub.conversion.cli import main, merge_lora_main

# The output


def test_an_output_that_is_not_empty_is_refused(cogvla, tmp_path, snapshot, capsys, assert_refused):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".hidden").write_text("kept")
    before = snapshot(tmp_path)
    assert_refused(cogvla.merge(tmp_path / "out"), capsys, "out is not empty.*--overwrite")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("options", [[], ["--overwrite"], ["--dry-run"]])
def test_an_output_that_is_a_file_is_refused(options, cogvla, tmp_path, snapshot, capsys, assert_refused):
    (tmp_path / "out").write_text("a file")
    before = snapshot(tmp_path)
    assert_refused(cogvla.merge(tmp_path / "out", *options), capsys, "out is a file")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["run", "base", "run/../run", "."])
def test_an_output_that_would_replace_a_source_is_refused(name, cogvla, tmp_path, snapshot, capsys, assert_refused):
    run = cogvla.copied_with_base(tmp_path / "work")
    before = snapshot(tmp_path)
    code = run.merge(tmp_path / "work" / name, "--overwrite")
    assert_refused(code, capsys, r"would replace the source .*(run|base); name another folder")
    assert snapshot(tmp_path) == before


def test_an_output_that_links_to_a_source_is_refused(cogvla, tmp_path, snapshot, capsys, assert_refused):
    run = cogvla.copied(tmp_path)
    (tmp_path / "out").symlink_to(run.run)
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out", "--overwrite"), capsys, "would replace the source")
    assert snapshot(tmp_path) == before


def test_two_conversions_to_one_output_exclude_each_other(cogvla, tmp_path, snapshot, capsys, assert_refused):
    with open(tmp_path / ".out.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        (tmp_path / ".out.partial").mkdir()
        (tmp_path / ".out.partial" / "config.json").write_text("of the other run")
        before = snapshot(tmp_path)
        assert_refused(cogvla.merge(tmp_path / "out"), capsys, "another run is writing to .*out")
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["no/such/folder", "./nowhere", "nobody/nothing"])
def test_what_is_neither_a_folder_nor_a_repository_is_named(
    name, cogvla, tmp_path, capsys, monkeypatch, snapshot, assert_refused
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    arguments = ["--adapter", str(cogvla.run), "--output", "out", *cogvla.options]
    message = f"{re.escape(name)} is neither a folder nor a repository that can be reached"
    assert_refused(merge_lora_main(["--base", name, *arguments]), capsys, message)
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ["merge-lora"],
        ["merge-lora", "--adapter", "run"],
        ["merge-lora", "--adapter", "run", "--output", "out", "--dtype", "int8"],
        ["merge-lora", "--adapter", "run", "--output", "out", "--platform", "mars"],
        ["merge-lora", "--adapter", "run", "--output", "out", "--max-shard-size", "0"],
        ["merge-lora", "--adapter", "run", "--output", "out", "--max-shard-size", "2XB"],
        ["merge-lora", "--adapter", "run", "--output", "out", "--num-images", "two"],
        ["convert", "run"],
        ["convert", "run", "out", "--base", "base"],
        ["unknown"],
    ],
)
def test_wrong_usage_exits_with_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stopped:  # of argparse
        code = stopped.code
    assert code == 2 and "usage: vlahub" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Failures while writing


@contextlib.contextmanager
def files_of_at_most(size):
    """Writing beyond `size` bytes of a file fails, much as on a full disk."""
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


SMALL_SHARDS = ("--max-shard-size", "1MB")  # but for that of the embeddings, which is too large


def test_a_failure_while_writing_leaves_the_parent_folder_as_it_was(cogvla, tmp_path, snapshot):
    (tmp_path / "other.txt").write_text("kept")
    before = snapshot(tmp_path)
    with contextlib.suppress(OSError, SafetensorError), files_of_at_most(2_000_000):
        assert cogvla.merge(tmp_path / "out", *SMALL_SHARDS) == 1
    assert snapshot(tmp_path) == before


def test_a_full_disk_is_reported_in_one_line(cogvla, tmp_path, capsys, assert_refused):
    with files_of_at_most(2_000_000):
        code = cogvla.merge(tmp_path / "out", *SMALL_SHARDS)
    assert_refused(code, capsys, "File too large")


def test_a_failure_while_overwriting_keeps_the_old_output_complete(cogvla, tmp_path, snapshot):
    assert cogvla.merge(tmp_path / "out") == 0
    before = snapshot(tmp_path)
    with contextlib.suppress(OSError, SafetensorError), files_of_at_most(2_000_000):
        assert cogvla.merge(tmp_path / "out", *SMALL_SHARDS, "--overwrite") == 1
    assert snapshot(tmp_path) == before


def test_an_interrupt_exits_with_130_and_leaves_nothing(cogvla, tmp_path, snapshot, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        assert (tmp_path / ".out.partial" / "config.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "write_weights", interrupted)
    assert cogvla.merge(tmp_path / "out") == 130
    assert snapshot(tmp_path) == {} and "interrupted" in capsys.readouterr().err
