"""How `vlahub train` reads its words: every name of an option, values as what they are, and what has no default."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from vlahub.conversion.cli import make_parser
from vlahub.conversion.commands import train_options
from vlahub.conversion.commands.train import check_output
from vlahub.conversion.commands.train_options import FURTHER, SHORT, further_actions, model_debugging
from vlahub.errors import InputError
from vlahub.training.finetuning.options import FinetuneOptions

PLAIN = ["train", "model", "--dataset", "d", "--output", "run"]


def parsed(*words):
    """What is in the namespace beside what every command line has."""
    command = [*PLAIN, *words]
    found = vars(make_parser(command).parse_args(command))
    known = {"model", "dataset", "output", "run", "debug", "quiet", "dry_run", "command", "command_line"}
    return {name: value for name, value in found.items() if name not in known or name in ("quiet", "dry_run", "debug")}


NOTHING = parsed()


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("--batch-size 3", {"per_device_train_batch_size": 3}),
        ("--per_device_train_batch_size 3", {"per_device_train_batch_size": 3}),
        ("--gradient-accumulation-steps 4", {"gradient_accumulation_steps": 4}),
        ("--steps 7", {"max_steps": 7}),
        ("--epochs 0.5", {"num_train_epochs": 0.5}),
        ("--warmup-steps 10", {"warmup_steps": 10}),
        ("--warmup_steps 0.1", {"warmup_steps": 0.1}),
        ("--logging-steps 5.0", {"logging_steps": 5}),
        ("--save-steps 0.25 --logging_steps 0.5", {"save_steps": 0.25, "logging_steps": 0.5}),
        ("--report-to wandb trackio", {"report_to": ["wandb", "trackio"]}),
        ("--bf16", {"bf16": True}),
        ("--bf16 No", {"bf16": False}),
        ("--gradient_checkpointing 1", {"gradient_checkpointing": True}),
        ("--overwrite", {"overwrite_output_dir": True}),
        ("--overwrite-output-dir false", {"overwrite_output_dir": False}),
        ("--dry_run", {"dry_run": True}),
        ("--quiet", {"quiet": True}),
        ("--lora-rank 8 --lora-alpha 16", {"rank": 8, "alpha": 16}),
        ("--action-column a b", {"action": ["a", "b"]}),
        ("--state-column s", {"state": ["s"]}),
        ("--text-column t", {"text": "t"}),
        ("--unmasked_actions 6 -1", {"unmasked_actions": [6, -1]}),
        ("--resume --augment yes --quantize 0", {"resume": True, "augment": True, "quantize": False}),
        ("--eval-episodes 0.25", {"eval_episodes": 0.25}),
        ("--debug", {"debug": True}),
        ("--debug underflow_overflow", {"debug": "underflow_overflow"}),
        ("--weight-decay=0.25", {"weight_decay": 0.25}),
        ("--learn-text --answer=a", {"learn_text": True, "answer": "a"}),
        ("--push_to_hub", {"push_to_hub": True}),
    ],
)
def test_what_was_given_is_in_the_namespace_as_what_it_is_and_nothing_else(words, given):
    found = parsed(*words.split())
    assert {name: value for name, value in found.items() if value != NOTHING.get(name, ...)} == given
    assert all(type(found[name]) is type(value) for name, value in given.items())


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("--steps=7 --batch_size=3 --debug", True),  # `--batch_size` is none
        ("--steps=7 --batch-size 3 --debug --", False),
        ("--per_device_train_batch_size=3 --report_to=wandb", False),
        ("--weight-decay 1", True),
        ("--weight-decay 1 -h", False),
        ("--help-all -h", True),
    ],
)
def test_transformers_is_asked_for_its_options_where_a_word_may_be_one(words, asks, monkeypatch):
    """It takes seconds to import."""
    asked = []
    monkeypatch.setattr(train_options, "further_actions", lambda: asked.append(True) or {})
    make_parser([*PLAIN, *words.split()])
    assert bool(asked) is asks
    make_parser(["predict", "model", "--weight-decay", "1"])
    assert len(asked) == asks


def test_nothing_has_a_default_and_only_what_must_be_is_required():
    assert NOTHING == {"debug": False, "quiet": False, "dry_run": False}
    for action in (action for actions in further_actions().values() for action in actions):
        assert action.default is argparse.SUPPRESS and not action.required and action.dest not in SHORT
    for left_out in ("--dataset", "--output"):
        command = [word for word in PLAIN if word not in (left_out, PLAIN[PLAIN.index(left_out) + 1])]
        with pytest.raises(SystemExit):
            make_parser(command).parse_args(command)


@pytest.mark.parametrize(
    "words",
    [
        *("--bf16 maybe", "--steps 1.5", "--logging-steps often", "--train all", "--rank two"),
        *("--debug overflow", "--debug=", "--unmasked-actions a", "--dtype int8 --learn-text"),
    ],
)
def test_what_an_option_cannot_be_is_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        parsed(*words.split())
    assert stopped.value.code == 2 and words.split()[0].partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--output", "--output-dir", "--output_dir"])
def test_the_folder_of_a_run_is_named_as_here_or_as_in_transformers(name):
    command = ["train", "model", "--dataset", "d", name, "runs/mine"]
    assert make_parser(command).parse_args(command).output == Path("runs/mine")


def test_debugging_of_models_is_that_of_training_arguments():
    assert model_debugging("underflow_overflow tpu_metrics_debug") == "underflow_overflow tpu_metrics_debug"
    for text in ("", "all", "underflow_overflow all"):
        with pytest.raises(argparse.ArgumentTypeError):
            model_debugging(text)


def test_a_run_is_not_written_over_what_it_begins_from_by_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    check_output(Path("run"), ["model", "user/name"])
    with pytest.raises(InputError, match="--output model is what the run begins from"):
        check_output(Path("model"), ["user/name", str(tmp_path / "model")])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file"):
        check_output(Path("file"), [])


def helped(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        parsed(*words)
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_help_shows_defaults_and_on_demand_everything(capsys):
    text = helped(capsys, "--help")
    for said in (
        "of LoRA (32)",
        "(lora)",
        "of the actions, or several (action)",
        "--lora-rank N",
        "--steps N",
        "(0.0005)",
    ):
        assert said in " ".join(text.split()), said
    assert "--weight-column" not in text and "--weight_decay" not in text and "(0.0)" not in text and "()" not in text
    assert helped(capsys, "--help", "--weight-decay", "1") == text  # a word beside it does not make it longer
    everything = helped(capsys, "--help-all")
    assert "--weight-column" in everything and "%%" not in everything
    titles = [title for title, _ in FURTHER if f"{title} (TrainingArguments)" in everything]
    assert titles == list(further_actions())
    names = {field.name for field in dataclasses.fields(FinetuneOptions)} - {"model"}
    assert all(f"--{name.replace('_', '-')}" in everything for name in names)
