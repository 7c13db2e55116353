"""`vlahub train` for every family to its end: the run's folder and card, its merge, and what the result predicts."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from vlahub.conversion.cli import main, merge_lora_main
from vlahub.training.finetuning import finetune

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[3] / "examples"
QUICK = ["--use_cpu", "--learning-rate", "1e-3"]
RANK = ["--rank", "2"]
VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--main_process_port", "0", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A tiny model of every family, and the two datasets that they learn from."""
    sys.path.insert(0, str(EXAMPLES))
    from tiny_dataset import write_dataset
    from tiny_driving_dataset import write_driving_dataset
    from tiny_models import write_model

    folder = tmp_path_factory.mktemp("sources")
    for name in FAMILIES:
        write_model(name, folder / name)
    write_dataset(folder / "table", episodes=2, frames=2)
    write_driving_dataset(folder / "road", episodes=2)
    sys.path.remove(str(EXAMPLES))
    return folder


@pytest.fixture
def trained(monkeypatch):
    """The models that `vlahub train` has trained in this process, as they are when it has ended."""
    found, run_finetuning = [], finetune.run_finetuning

    def run(prepared):
        trainer = run_finetuning(prepared)
        found.append(trainer.model)
        return trainer

    monkeypatch.setattr(finetune, "run_finetuning", run)
    return found


def words_of(sources, family, run):
    """What comes behind `vlahub train`."""
    data = sources / ("road" if family == "alpamayo_r1" else "table")
    return [str(sources / family), "--dataset", str(data), "--output", str(run), *QUICK]


def predictions(family, model, folder):
    """What a model predicts of what the processor in a folder makes of one scene."""
    names = {"np": np}
    exec(FAMILIES[family].call, names)
    inputs = names["prepare"](AutoProcessor.from_pretrained(folder), VIEWS)
    torch.manual_seed(0)
    return names["predict"](model.eval(), inputs)


@pytest.mark.parametrize("what", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_trained_is_what_its_folder_or_its_merge_predicts(family, what, sources, trained, tmp_path, capsys):
    run = tmp_path / "run"
    masks = [] if family == "alpamayo_r1" else ["--unmasked-actions", "-1"]
    rank = RANK if what == "lora" else []
    words = [*words_of(sources, family, run), "--train", what, "--steps", "2", "--batch-size", "2", *rank, *masks]
    assert main(["train", *words, "--save-strategy", "no"]) == 0
    said, card = capsys.readouterr().out, (run / "README.md").read_text()
    for file in ("trainer_state.json", "vlahub_train.json", "processor_config.json"):
        assert (run / file).is_file(), file
    assert (run / "dataset_statistics.json").is_file() is (family != "alpamayo_r1")
    for fact in ("| steps | 2 |", "learning rate | 0.001", "train_loss", f"| base model | `{family}` |"):
        assert fact in card, fact
    result = run
    if what == "lora":
        [command] = re.findall(r"^ +(merge-lora .*-merged)$", card, re.MULTILINE)
        assert command in said and not (run / "model.safetensors").exists()
        assert merge_lora_main([*shlex.split(command)[1:], "--quiet"]) == 0
        result = Path(shlex.split(command)[-1])
    else:
        assert "nothing has to be merged" in card and "whole checkpoint" in said
    [model] = trained
    model = model.get_base_model() if what == "lora" else model
    whole = AutoModelForImageTextToText.from_pretrained(result, dtype=torch.float32)
    found, wanted = predictions(family, whole, result), predictions(family, model, run)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    before = AutoModelForImageTextToText.from_pretrained(sources / family, dtype=torch.float32)
    if whole.config.norm_stats:
        before.config.norm_stats = whole.config.norm_stats
    assert (predictions(family, before, result) - wanted).abs().max() > 10 * (found - wanted).abs().max()
    assert main(["verify", str(result), "--quiet"]) == 0


@pytest.mark.skipif(not find_spec("bitsandbytes"), reason="4 bits need bitsandbytes: pip install 'vlahub[quant]'")
def test_a_run_in_4_bits_says_so_and_is_merged_into_full_precision(sources, tmp_path, capsys):
    run = tmp_path / "run"
    words = [*words_of(sources, "cogvla", run), "--quantize", "--steps", "1", "--batch-size", "2"]
    assert main(["train", *words, "--dtype", "bfloat16"]) == 0
    said = "that of the weights (bfloat16); the language model's weights in 4 bits (QLoRA)"
    assert said in capsys.readouterr().out and f"| precision | {said} |" in (run / "README.md").read_text()
    merged = tmp_path / "merged"
    sources = ["--base", str(sources / "cogvla"), "--adapter", str(run)]
    assert merge_lora_main([*sources, "--output", str(merged), "--quiet"]) == 0
    whole = AutoModelForImageTextToText.from_pretrained(merged)
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}
    assert predictions("cogvla", whole, merged).isfinite().all()
    assert main(["train", *words, "--train", "full", "--overwrite"]) == 1
    assert "weights in 4 bits do not train" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate launch"])
def test_two_processes_leave_the_run_that_one_leaves(launcher, sources, tmp_path, capfd):
    """A checkpoint is saved after each step, while the other process goes on."""
    calm = ["--max_steps", "2", "--save_steps", "1", "--logging_steps", "1", "--lr_scheduler_type", "constant"]
    words = [*words_of(sources, "multimodal_vla", tmp_path / "one"), *RANK]
    assert main(["train", *words, *calm, "--batch-size", "2", "--quiet"]) == 0
    words = [*words_of(sources, "multimodal_vla", tmp_path / "two"), *RANK]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, "-m", "vlahub", "train", *words, *calm, "--batch-size", "1"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.stdout.count("camera views, in the order") == ended.stdout.count("holds an adapter") == 1
    for name in ("", "checkpoint-1", "checkpoint-2"):
        one, two = ({path.name for path in (tmp_path / run / name).iterdir()} for run in ("one", "two"))
        assert {file for file in two if "rng_state" not in file} == {file for file in one if "rng_state" not in file}
        weights = [load_file(tmp_path / run / name / "adapter_model.safetensors") for run in ("one", "two")]
        torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-4)
        assert "# An adapter of multimodal_vla" in (tmp_path / "two" / name / "README.md").read_text()
    assert "2 (1 a device, 1 accumulated, 2 devices)" in (tmp_path / "two" / "README.md").read_text()


@pytest.mark.skipif(not find_spec("tensorboard"), reason="needs tensorboard: pip install tensorboard")
def test_figures_of_the_steps_are_in_tensorboards_file(sources, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = [*words_of(sources, "multimodal_vla", tmp_path / "run"), *RANK]
    options = ["--steps", "2", "--logging-steps", "1", "--report-to", "tensorboard", "--quiet"]
    assert main(["train", *words, *options]) == 0
    [file] = (tmp_path / "run").rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == [1, 2] and all(np.isfinite(event.value) for event in losses)
