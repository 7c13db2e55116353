"""The folder of a run: nothing that lies there already is lost, be it of a run or of somebody else."""

import os
from pathlib import Path

import pytest

from vlahub.errors import InputError
from vlahub.training import run_folder
from vlahub.training.finetuning.arguments import check_finetune, make_arguments
from vlahub.training.finetuning.options import FinetuneOptions
from vlahub.training.finetuning.run_record import check_resumed
from vlahub.training.run_folder import RECORD, check_run_folder, clear_run_folder


def told(folder, overwrite):
    """Options and arguments of a fine-tune that writes there."""
    given = make_arguments(output_dir=str(folder), use_cpu=True, overwrite_output_dir=overwrite)
    return FinetuneOptions(model="base", dataset="data"), given


FOREIGN = ["config.json", "README.md", "vocab.txt", "train.py", "dataset_statistics.json", "own.safetensors"]
FOREIGN += ["own.bin", "own.pt", "own.pth", "own.jinja", "tokenizer.model", "merges.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_files_of_something_else_is_no_folder_of_a_run(tmp_path, name, overwrite):
    folder, (options, given) = tmp_path / "run", told(tmp_path / "run", overwrite)
    folder.mkdir()
    (folder / name).write_text("mine")
    named = pytest.raises(InputError, match=f"holds {name} and no run.*another --output_dir")
    with named:
        check_run_folder(folder, resume=False, overwrite=overwrite)
    with named:
        check_finetune(options, given)
    with pytest.raises(InputError, match="holds no run to go on with"):
        check_resumed(options, given)


def test_a_folder_in_which_a_run_replaces_nothing_is_free(tmp_path):
    check_run_folder(tmp_path / "new", resume=False, overwrite=False)
    check_run_folder(tmp_path, resume=False, overwrite=False)
    (tmp_path / "tiny_model").mkdir()
    logs = "train.log", "slurm-1.out", "run.o123", "log.txt", "events.out.tfevents.1.host.2.0", "job.sh"
    (tmp_path / "figures.json").mkdir()
    for name in (".gitkeep", ".config.json", *logs, "config.yaml", "tiny_model/config.json"):
        (tmp_path / name).write_text("")
    check_run_folder(tmp_path, resume=False, overwrite=False)
    for name in (RECORD, "dataset_statistics.json"):  # of a run that ended before its first checkpoint
        (tmp_path / name).write_text("{}")
    check_run_folder(tmp_path, resume=False, overwrite=False)


def test_of_many_files_the_first_are_named_and_the_others_counted(tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.json").touch()
    with pytest.raises(InputError, match=r"holds 0\.json, 1\.json, 2\.json, 3\.json and 2 more and no run"):
        check_run_folder(tmp_path, resume=False, overwrite=False)


@pytest.mark.parametrize("needed", [os.W_OK, os.X_OK])
def test_a_folder_has_to_be_one_in_which_files_can_be_made(tmp_path, needed, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & needed)
    with pytest.raises(InputError, match="no permission to write in"):
        check_run_folder(tmp_path / "run", resume=False, overwrite=False)


def test_a_link_to_nothing_is_no_place_for_a_run(tmp_path):
    (link := tmp_path / "run").symlink_to(tmp_path / "unmounted" / "run")
    for place in (link, link / "first"):
        with pytest.raises(InputError, match="run is no folder; choose another --output_dir"):
            check_run_folder(place, resume=False, overwrite=False)


OF_RUN = ["", "checkpoint-3", "checkpoint-3/adapter", "adapter_model.safetensors"]


@pytest.mark.parametrize("source", OF_RUN)
@pytest.mark.parametrize("by", ["its path", "a relative path", "a link"])
def test_what_a_run_reads_is_not_removed_by_whatever_name_it_has(tmp_path, source, by, monkeypatch):
    (tmp_path / "run/checkpoint-3/adapter").mkdir(parents=True)
    (tmp_path / "run/adapter_model.safetensors").touch()
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    (link := tmp_path / "link").symlink_to(tmp_path / "run" / source)
    read = {"its path": tmp_path / "run" / source, "a relative path": Path("../run", source), "a link": link}[by]
    for folder in (tmp_path / "run", Path("../run")):
        with pytest.raises(InputError, match="would remove"):
            check_run_folder(folder, resume=False, overwrite=True, sources=["you/model", read])


def test_a_run_is_gone_on_with_or_replaced_and_not_both(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(InputError, match="--resume goes on with a run and --overwrite_output_dir removes it"):
        check_run_folder(tmp_path, resume=True, overwrite=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_place_that_is_never_an_output_is_no_folder_of_a_run(tmp_path, monkeypatch, resume):
    home, here, file = tmp_path / "home", tmp_path / "here", tmp_path / "file"
    home.mkdir(), here.mkdir(), file.touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    places = {home: "home directory", ".": "current directory", "~/run": "write the path out", "/": "root"}
    for place, words in (places | {file: "is no folder", file / "run": "file is no folder"}).items():
        with pytest.raises(InputError, match=words):
            check_run_folder(place, resume, overwrite=False)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != home)
    monkeypatch.setattr(run_folder, "results_in", lambda folder: folder.nothing)  # which may not be looked into
    with pytest.raises(InputError, match=r"no permission to write in .*home"):
        check_run_folder(home / "run", resume, overwrite=False)


@pytest.mark.parametrize("left", [RECORD, "checkpoint-3"])
def test_a_run_in_the_current_folder_is_gone_on_with(tmp_path, monkeypatch, left):
    monkeypatch.chdir(tmp_path)
    (tmp_path / left).mkdir() if left.startswith("checkpoint") else (tmp_path / left).write_text("{}")
    for place in (".", tmp_path):
        check_run_folder(place, resume=True, overwrite=False)
        with pytest.raises(InputError, match="the current directory"):
            check_run_folder(place, resume=False, overwrite=True)


def test_a_run_is_not_written_into_what_it_reads(tmp_path):
    (tmp_path / "meta").mkdir()  # as of a dataset, of folders alone
    (link := tmp_path.parent / f"{tmp_path.name}_link").symlink_to(tmp_path)
    for folder, source in ((tmp_path, tmp_path), (link, tmp_path), (tmp_path, link)):
        with pytest.raises(InputError, match="is what this run reads"):
            check_run_folder(folder, resume=False, overwrite=False, sources=["you/model", source])


@pytest.mark.parametrize("name", ["checkpoint-best", "checkpoint-3-copy"])
def test_a_copy_of_a_checkpoint_that_somebody_named_is_no_part_of_a_run(tmp_path, name):
    (copied := tmp_path / name).mkdir()
    (tmp_path / "checkpoint-2").touch()  # nor is a file
    check_run_folder(tmp_path, resume=False, overwrite=False)
    (tmp_path / "checkpoint-3").mkdir()
    check_run_folder(tmp_path, resume=False, overwrite=True, sources=[copied])
    clear_run_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "checkpoint-2", copied]
