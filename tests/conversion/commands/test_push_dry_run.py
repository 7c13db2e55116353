"""`vlahub push --dry-run`: what would be uploaded, said without the Hub; refused is what an upload refuses."""

import pytest

from vlahub.conversion.cli import main
from vlahub.conversion.publishing import push_checkpoint


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setattr(push_checkpoint, "HfApi", lambda: pytest.fail("the Hub was asked"))


def test_a_dry_run_names_files_and_what_stays(merged, tmp_path, capsys):
    (folder := tmp_path / "mine").mkdir()
    for path in merged.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "notes.txt").write_text("mine")
    assert main(["push", str(folder), "me/mine", "--dry-run"]) == 0
    said = capsys.readouterr().out
    size = (folder / "model.safetensors").stat().st_size
    assert f"model.safetensors {size}" in " ".join(said.split()) and "nothing was uploaded (--dry-run)" in said
    assert "notes.txt" in said.partition("not uploaded:")[2]
    assert main(["push", str(folder), "me/mine", "--dry-run", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_dry_run_refuses_code_of_others_and_says_where_the_report_is_of_other_files(merged, tmp_path, capsys):
    (folder := tmp_path / "mine").mkdir()
    for path in merged.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    command = ["push", str(folder), "me/mine", "--dry-run"]
    assert main(command) == 0 and "conversion_report.json is of other files" not in capsys.readouterr().out
    (folder / "own.py").write_text("mine = 1")
    assert main(command) == 1 and "--allow-code" in capsys.readouterr().err
    assert main([*command, "--allow-code"]) == 0
    said = capsys.readouterr().out
    assert "own.py" in said and "warning: conversion_report.json is of other files" in said
    assert main([*command, "--allow-code", "--quiet"]) == 0 and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine"], "'mine' is no repository id"),
        (["me/mine", "--revision", "a..b"], "no name of a branch"),
        (["me/mine", "--revision", "0" * 40], "is a commit"),
        (["me/mine", "--revision", "b", "--create-pr"], "a pull request goes to main"),
    ],
)
def test_a_dry_run_refuses_what_the_upload_refuses(words, message, merged, capsys):
    assert main(["push", str(merged), *words, "--dry-run"]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path, capsys):
    assert main(["push", str(tmp_path), "me/mine", "--dry-run"]) == 1
    assert "has no config.json" in capsys.readouterr().err
