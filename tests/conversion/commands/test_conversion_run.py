"""The arguments of a command that writes a checkpoint become a job, and what cannot be done is refused first."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlahub.conversion import bases_of_adapters, source_folder
from vlahub.conversion import job as jobs
from vlahub.conversion.cards import executed_card
from vlahub.conversion.cards.executed_card import CardRequest
from vlahub.conversion.cli import make_parser
from vlahub.conversion.commands import conversion_run
from vlahub.conversion.commands.conversion_run import (
    carry_out,
    checked,
    complete_card,
    given_options,
    input_name,
    job_of,
)
from vlahub.conversion.publishing import push_checkpoint
from vlahub.errors import ConversionError


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """What was looked for, each name with whether its weights were; none is downloaded."""
    found = {}

    def folder(name, weights=True):
        found[name] = weights
        return tmp_path / name

    monkeypatch.setattr(source_folder, "source_folder", folder)
    monkeypatch.setattr(bases_of_adapters, "base_folder", lambda base, adapters: base and tmp_path / base)
    return found


def arguments_of(line):
    found = make_parser(line.split()).parse_args(line.split())
    found.command_line = f"vlahub {line}"
    return found


def test_runs_base_and_parts_have_their_roles_and_weights_are_looked_for_where_they_are_read(folders, tmp_path):
    job = job_of(arguments_of("merge-lora --base base --adapter one --adapter two --output out --quantize int8"))
    assert (job.adapters, job.base, job.parts) == ([tmp_path / "one", tmp_path / "two"], tmp_path / "base", {})
    assert job.inputs == {"run": "one", "run 2": "two", "base": "base"} and job.quantize == "int8"
    assert job.command == "merge-lora --base base --adapter one --adapter two --output OUTPUT --quantize int8"
    folders.clear()
    job = job_of(arguments_of("convert source out --vlm user/vlm --expert release --camera-labels no"))
    assert job.parts == {"vlm": tmp_path / "user/vlm", "expert": tmp_path / "release"} and job.base is None
    assert folders == {"source": True, "user/vlm": False, "release": True}
    assert job.inputs == {"run": "source", "vlm": "user/vlm", "expert": "release"}
    assert job.given == {"camera_labels": "no"} and job.quantize is None and not job.allow_code


def test_options_that_were_given_are_told_from_those_that_were_not():
    start = "create --family alpamayo_r1 --base b --output out --expert-hidden-size 64 --seed 0"
    assert given_options(arguments_of(start)) == {"expert_hidden_size": 64, "seed": 0}
    assert given_options(argparse.Namespace(use_state=False, num_images=None, other=3)) == {"use_state": False}


def test_an_input_is_told_by_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert [input_name(name) for name in (".", "../here", "user/name", "missing")] == [
        "here",
        "here",
        "user/name",
        "missing",
    ]


@pytest.mark.parametrize(
    ("tries", "config", "texts", "is_refused"),
    [(True, None, {}, True), (True, None, {"a.py": ""}, False), (True, "config", {}, False), (False, None, {}, False)],
)
def test_an_example_is_tried_where_the_card_has_one(tries, config, texts, is_refused):
    prepared = SimpleNamespace(config=config, code=SimpleNamespace(texts=texts))
    if not is_refused:
        assert checked(prepared, tries) is prepared
        return
    with pytest.raises(ConversionError, match="only the cards of vlahub's families have one"):
        checked(prepared, tries)


@pytest.mark.parametrize("allow_code", [False, True])
def test_the_example_runs_code_that_was_allowed(allow_code, monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(executed_card, "write_executed_card", lambda *given: asked.append(given) or "wrote it")
    complete_card(SimpleNamespace(output=tmp_path, allow_code=allow_code, quiet=False))
    assert asked == [(tmp_path, CardRequest(allow_code=allow_code))] and "wrote it" in capsys.readouterr().out


@pytest.fixture
def carried(folders, monkeypatch, tmp_path):
    """What was done, in its order."""
    done = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run_job", lambda job, prepare: done.append(("run", prepare(job))))

    def push(*given, **options):
        done.append(("push", given, options))
        return "https://hub/me/mine"

    monkeypatch.setattr(push_checkpoint, "push_checkpoint", push)
    monkeypatch.setattr(conversion_run, "complete_card", lambda job: done.append("card"))
    return done


def prepare(job, family):
    return SimpleNamespace(config="config", family=family)


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_was_written_is_tried_and_then_published(dry_run, carried, capsys):
    words = "merge-lora --base base --adapter run --output out --try --push-to-hub me/mine --card keep --allow-code"
    carry_out(arguments_of(words + " --dry-run" * dry_run), prepare)
    (name, prepared), *more = carried
    assert name == "run" and prepared.family == "auto"
    options = {"card": "keep", "allow_code": True, "quiet": False}
    assert more == ([] if dry_run else ["card", ("push", (Path("out"), "me/mine"), options)])


def test_a_repository_that_cannot_be_one_and_an_output_in_use_are_refused_first(carried, folders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    words = "merge-lora --base base --adapter run --output"
    with pytest.raises(ConversionError, match="me"):
        carry_out(arguments_of(f"{words} new --push-to-hub me/my/mine"), prepare)
    with pytest.raises(ConversionError, match="out is not empty"):
        carry_out(arguments_of(f"{words} out"), prepare)
    carry_out(arguments_of(f"{words} out --dry-run"), prepare)  # which writes nothing there
    carried.clear(), folders.clear()
    (tmp_path / "base").mkdir()
    with pytest.raises(ConversionError, match="would replace the source"):
        carry_out(arguments_of(f"{words} base --overwrite"), prepare)
    assert carried == [] and folders == {}


@pytest.mark.parametrize(
    ("words", "inside"),
    [
        ("merge-lora --base base --adapter run", "base"),
        ("merge-lora --base base --adapter run", "run"),
        ("convert source OUT --vlm vlm", "vlm"),
    ],
)
def test_an_output_inside_of_a_source_is_told_of(words, inside, carried, tmp_path, capsys):
    for name in ("base", "run", "source", "vlm"):
        (tmp_path / name).mkdir()
    output = f"{inside}/out"
    line = words.replace("OUT", output) if "OUT" in words else f"{words} --output {output}"
    carry_out(arguments_of(line), prepare)
    assert f"note: {output} lies inside of" in capsys.readouterr().out
