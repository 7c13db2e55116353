"""`vlahub train`: what it takes, says and refuses; a run that is merged by its card's command, and predicts."""

import dataclasses
import json
import logging
import os
import re
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import transformers
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainingArguments

from vlahub.conversion.cli import main, make_parser, merge_lora_main
from vlahub.conversion.commands.train_options import OWN_NAMES

EXAMPLES = Path(__file__).parents[3] / "examples"
QUICK = ["--use_cpu", "--steps", "1", "--batch-size", "2", "--save-strategy", "no"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A tiny composed model, and a drawn dataset of two episodes."""
    sys.path.insert(0, str(EXAMPLES))
    from tiny_dataset import write_dataset
    from tiny_models import write_model

    folder = tmp_path_factory.mktemp("sources")
    write_model("multimodal_vla", folder / "model")
    write_dataset(folder / "table", episodes=2, frames=2)
    sys.path.remove(str(EXAMPLES))
    return folder


@pytest.fixture
def train(sources, tmp_path):
    def call(*words, model="model"):
        given = [str(sources / model), "--dataset", str(sources / "table"), "--output", str(tmp_path / "run")]
        rank = [] if "--train" in words else ["--rank", "2"]
        return main(["train", *given, *QUICK, *rank, *words])

    return call


def test_every_training_argument_is_taken_in_both_spellings():
    names = {field.name for field in dataclasses.fields(TrainingArguments) if field.init} - OWN_NAMES
    parser = make_parser(["train", "--help-all"])
    [commands] = [action for action in parser._actions if action.choices and "train" in action.choices]
    options = commands.choices["train"]._option_string_actions
    for name in names:
        assert f"--{name}" in options and f"--{name.replace('_', '-')}" in options, name


def test_a_run_is_merged_by_the_command_of_its_card_and_predicts(train, tmp_path, capsys):
    assert train("--learning-rate", "1e-3", "--unmasked-actions", "-1") == 0
    said = capsys.readouterr().out
    for fact in ("observation.images.primary", "passes unchanged", "action_head", "together", "loss of the first"):
        assert fact in said, fact
    card = (tmp_path / "run" / "README.md").read_text()
    assert "learning rate | 0.001" in card and "train_loss" in card and "`table`" in card
    command = shlex.split(re.findall(r"^ +(merge-lora .*-merged)$", card, re.MULTILINE)[0])
    assert shlex.join(command) in said
    settings = tmp_path / "run" / "processor_config.json"
    trained_with = settings.read_text()
    settings.write_text(json.dumps({**json.loads(trained_with), "view_names": ["primary", "primary"]}))
    assert merge_lora_main([*command[1:], "--quiet"]) == 1
    assert "holds a name twice" in capsys.readouterr().err and not Path(command[-1]).exists()
    settings.write_text(trained_with)
    assert merge_lora_main([*command[1:], "--quiet"]) == 0
    merged, processor = (kind.from_pretrained(command[-1]) for kind in (AutoModelForImageTextToText, AutoProcessor))
    assert list(merged.config.norm_stats) == ["table"]
    assert merged.config.view_names == processor.view_names == ["primary", "wrist"]
    picture = np.zeros((32, 32, 3), np.uint8)
    inputs = processor(images={"primary": picture, "wrist": picture}, text="go", state=[0.0] * 8, return_tensors="pt")
    assert merged.predict_action(**inputs).isfinite().all()
    assert (tmp_path / "run" / "trainer_state.json").is_file()


@pytest.mark.parametrize("given", [None, "default"])
def test_a_quiet_run_says_nothing_and_leaves_the_process_as_it_was(given, train, monkeypatch, capsys):
    if given is None:
        monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    else:
        monkeypatch.setenv("PYTHONWARNINGS", given)

    def state():
        libraries = logging.getLogger("accelerate").level, transformers.logging.get_verbosity()
        return *libraries, transformers.logging.is_progress_bar_enabled(), list(warnings.filters), dict(os.environ)

    train("--dry-run")  # loads what sets variables of its own
    before, _ = state(), capsys.readouterr()
    assert train("--dry-run", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert state() == before


def test_a_dry_run_writes_nothing(train, tmp_path, capsys):
    assert train("--dry-run", "--train", "A") == 0
    said = capsys.readouterr().out
    assert "nothing was trained or written" in said and "frozen" in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--action", "left"], "no column 'left'; the columns are .*action"),
        (["--images", "nowhere"], r"no columns \['nowhere'\]; they have .*observation.images.primary"),
        (["--action", "action", "observation.state"], "15 .*7|7.*15"),
        (["--optim", "adamm"], "adamm"),
        (["--report-to", "paper"], "report_to='paper' is unknown"),
        (["--report-to", "wandb"], "pip install wandb"),
        (["--eval_strategy", "steps"], "--eval_episodes"),
        (["--do_predict"], "--do_predict has no effect"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_model_is_loaded(words, message, train, monkeypatch, tmp_path, capsys):
    from vlahub.training.finetuning import arguments, finetune

    monkeypatch.setattr(finetune, "load_model", lambda options: pytest.fail("loaded"))
    monkeypatch.setattr(arguments, "get_available_reporting_integrations", lambda: [])
    assert train(*words) == 1
    error = capsys.readouterr().err
    assert re.search(message, error.splitlines()[-1]), error
    assert not (tmp_path / "run").exists()


def test_an_interrupt_leaves_a_checkpoint_and_resume_goes_on_from_it(train, tmp_path, monkeypatch, capsys):
    from vlahub.training.finetuning import interruption

    on_step_end = interruption.StopAfterStep.on_step_end

    def interrupted(self, args, state, control, **kwargs):
        self.asked = state.global_step == 2
        on_step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(interruption.StopAfterStep, "on_step_end", interrupted)
        assert train("--max_steps", "4", "--quiet") == 130
    out, err = capsys.readouterr()
    assert "checkpoint-2 is saved" in err and "--resume" in err and out == ""
    assert train("--max_steps", "4", "--resume", "--rank", "3") == 1
    assert "--rank was 2 and is 3" in capsys.readouterr().err
    assert train("--max_steps", "4", "--resume", "--learning-rate", "1", "--seed", "1") == 1
    assert "--learning_rate was 0.0005 and is 1.0, --seed was 42 and is 1." in capsys.readouterr().err
    assert train("--max_steps", "4", "--resume", "--quiet") == 0
    assert (tmp_path / "run" / "adapter_model.safetensors").exists()


def test_a_run_that_saved_weights_alone_does_not_go_on(train, capsys):
    assert train("--save-strategy", "steps", "--save-steps", "1", "--save-only-model", "--quiet") == 0
    assert train("--max-steps", "2", "--resume", "--quiet") == 1
    assert "checkpoint-1 has weights, but no state of the optimiser" in capsys.readouterr().err


def test_a_run_inside_of_its_base_is_told_of(sources, capsys):
    run = sources / "model" / "run"
    words = ["train", str(sources / "model"), "--dataset", str(sources / "table"), "--output", str(run), *QUICK]
    assert main([*words, "--train", "A", "--dry-run"]) == 0
    assert f"note: {run} lies inside of {sources / 'model'}, which is read" in capsys.readouterr().err
    assert main([*words, "--train", "A", "--dry-run", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
