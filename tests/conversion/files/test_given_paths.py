"""What is given as a path: an empty word, an input, a name that can only be a folder, and what was probably meant."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlahub.conversion.files.given_paths import (
    check_not_empty,
    exists,
    input_paths,
    meant_file,
    meant_folder,
    why_no_single_name,
    why_not_local,
)
from vlahub.errors import ConversionError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", ""], "an argument is empty"),
        ([""], "an argument is empty"),
        (["--base", ""], "the value of --base is empty"),
        (["--base="], "the value of --base is empty"),
        (["--base", "x", ""], "an argument is empty"),
        (["--instruction", "--base="], "the value of --base is empty"),
    ],
)
def test_an_empty_word_is_named_by_its_option(words, said):
    with pytest.raises(ConversionError, match=f"^{said}: is a variable not set"):
        check_not_empty(words)


@pytest.mark.parametrize("words", [["--instruction", ""], ["--instruction="], ["--base=x", "a=", "-"], []])
def test_an_instruction_may_be_empty_and_other_words_are(words):
    check_not_empty(words)


@dataclass
class Part:
    folder: Path
    output: str


def test_inputs_are_all_that_is_there_wherever_it_is_named_but_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [Path(name) for name in ("a", "b", "c", "d", "e", "out", "inner")]
    for path in names:
        path.touch()
    job = SimpleNamespace(
        base="a",
        adapters=[Path("b"), "missing"],
        parts={"vision": Path("c")},
        more=("d",),
        inner=Part(Path("e"), "inner"),
    )
    job.output, job.plot, job.number, job.empty = Path("out"), Path("out"), 5, ""
    assert sorted(input_paths(job)) == names[:5]


def test_a_name_that_no_file_can_have_is_not_there():
    assert not exists(Path("x" * 5000)) and not exists(Path("a\0b")) and exists(Path("/"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file", r"it is a file; name the folder that it lies in, the current one \(\.\)"),
        ("folder/file", "it is a file; name the folder that it lies in, folder"),
        ("broken", "it is a link to what is not there"),
        ("pipe", "it is no folder"),
        ("~user/x", "did not replace ~"),
        ("https://huggingface.co/user/name", "by its id alone, user/name"),
        ("hf.co/models/user/name/", "by its id alone, user/name"),
        ("https://huggingface.co/datasets/user/name/tree/main", "by its id alone, user/name"),
        ("user/name/tree/main/folder", "by its id alone, user/name"),
        ("user/name/blob/main/config.json", "by its id alone, user/name"),
        ("https://elsewhere.org/user/name/x", "it is an address"),
        ("http:/elsewhere.org/a", "it is an address"),
        ("s3://bucket/x", "it is an address"),
        ("folder/a/b", r"/folder is the last part of the path that exists\.$"),
        ("folder/file/x", r"/folder is the last part of the path that exists\.$"),
        ("./x", "there is no such folder"),
        ("flder/a b", "there is no such folder"),
        ("folder/inne/", r"last part of the path that exists \(did you mean folder/inner\?\)\.$"),
        ("../a", "there is no such folder"),
    ],
)
def test_a_name_that_can_only_mean_a_folder_is_told_what_is_wrong(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for file in ("file", "folder/file"):
        (tmp_path / file).touch()
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "pipe").symlink_to("/dev/null")
    assert re.search(said, why_not_local(name) or ""), why_not_local(name)


@pytest.mark.parametrize("name", ["user/name", "gpt2", "a.b/c-d_e"])
def test_what_can_be_a_repository_is_none_of_that(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert why_not_local(name) is None


def test_what_was_meant_is_a_folder_for_a_folder_and_a_file_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-run").mkdir()
    (tmp_path / "user" / "my-run").mkdir(parents=True)
    (tmp_path / "my-runs.json").touch()
    assert why_no_single_name("my-rum") == "there is no such folder (did you mean my-run?)."
    assert why_no_single_name("user/my-rum") is None and why_no_single_name("other") is None
    assert why_no_single_name("./my-rum").startswith("there is no such folder; ")
    assert meant_file(tmp_path / "my-runs.jsn") == f" (did you mean {tmp_path / 'my-runs.json'}?)"
    assert meant_folder(tmp_path / "my-runs.jsn") == f" (did you mean {tmp_path / 'my-run'}?)"
    assert meant_file(tmp_path / "missing" / "x") == meant_folder(tmp_path / "my-runs.json" / "x") == ""
