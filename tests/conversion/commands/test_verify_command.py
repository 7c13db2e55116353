"""What `vlahub verify` makes of its options and of what was checked, without a checkpoint."""

import json
from types import SimpleNamespace

import pytest

from vlahub.conversion import bases_of_adapters, preparation, source_folder, verify_folder
from vlahub.conversion.cli import main
from vlahub.conversion.commands.verify import table_of
from vlahub.conversion.verify_folder import Checked


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What was asked for, by its name; a checkpoint with 1 file of 2,000 bytes."""
    found = {}

    def folder(name, **options):
        found["folder"] = (name, options)
        return tmp_path

    def verified(place, quiet, code):
        found["verified"] = (place, quiet, code)
        return [Checked("files", 1, 2000, "the report", "as recorded"), Checked("code", None, None, "this", "same")]

    def accepted(place, quiet):
        found["accepted"] = (place, quiet)
        return "all is recorded"

    monkeypatch.setattr(source_folder, "source_folder", folder)
    monkeypatch.setattr(verify_folder, "verify_folder", verified)
    monkeypatch.setattr(verify_folder, "accept_changes", accepted)
    return found


@pytest.mark.parametrize(
    ("words", "quiet", "code"),
    [([], False, False), (["--quiet"], True, False), (["--json"], True, False), (["--json", "--code"], True, True)],
)
def test_a_whole_repository_is_verified_and_the_answer_is_a_table_a_document_or_nothing(
    words, quiet, code, asked, tmp_path, capsys
):
    assert main(["verify", "me/mine", *words]) == 0
    assert asked == {"folder": ("me/mine", {"everything": True}), "verified": (tmp_path, quiet, code)}
    said = capsys.readouterr().out
    if "--json" in words:
        content = json.loads(said)
        assert content["checkpoint"] == "me/mine" and [each["what"] for each in content["checked"]] == ["files", "code"]
    else:
        assert ("nothing wrong was found" in said) is not quiet and (said == "") is quiet


@pytest.mark.parametrize("base", [[], ["--base", "org/base"]])
def test_sources_are_read_and_nothing_of_their_code_is_written(base, asked, tmp_path, monkeypatch, capsys):
    def verified(folder, job, quiet):
        asked["job"] = job
        return SimpleNamespace(tensors=["a", "b"], bytes=8)

    monkeypatch.setattr(preparation, "verify_sources", verified)
    monkeypatch.setattr(bases_of_adapters, "base_folder", lambda name, adapters: (name, adapters))
    assert main(["verify", "me/mine", "--against", "org/run", *base, "--json"]) == 0
    job, first = asked["job"], json.loads(capsys.readouterr().out)["checked"][0]
    assert job.allow_code and job.adapters == [tmp_path] and job.base == ((base or [0, None])[1], [tmp_path])
    assert first["against"] == ", ".join(["org/run", *base[1:]]) and (first["count"], first["bytes"]) == (2, 8)


def test_counts_and_bytes_stand_in_their_columns():
    table = table_of(
        "mine", [Checked("files", 1, 2000, "the report", "as recorded"), Checked("code", None, None, "", "")]
    )
    names = [column.name for column in table.columns]
    first, second = (dict(zip(names, row, strict=True)) for row in table.rows)
    assert list(first.values()) == ["files", "1", "2,000", "the report", "as recorded"]
    assert names[1:3] == ["number", "bytes"] and [second[name] for name in names[1:3]] == ["", ""]


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_what_is_accepted_is_said(quiet, asked, tmp_path, capsys):
    assert main(["verify", str(tmp_path), "--accept", *quiet]) == 0
    assert asked == {"accepted": (tmp_path, bool(quiet))}
    assert capsys.readouterr().out == ("" if quiet else f"{tmp_path}: all is recorded\n")


@pytest.mark.parametrize("word", ["--json", "--code"])
def test_what_is_accepted_is_not_checked_otherwise(word, asked, tmp_path, capsys):
    assert main(["verify", str(tmp_path), "--accept", word]) == 1
    assert not asked and word in capsys.readouterr().err
