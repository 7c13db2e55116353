"""The script of the examples: strategies, resuming after a kill, precision, checkpointing, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

EXAMPLES = Path(__file__).parents[2] / "examples"
FAMILIES = ("cogvla", "mapanything_llava3d", "multimodal_vla", "alpamayo_r1")
QUICK = ["--per_device_train_batch_size=4", "--logging_steps=1", "--disable_tqdm=True", "--use_cpu=True", "--rank=4"]


@pytest.fixture(scope="module")
def finetune():
    """`finetune.main`."""
    sys.path.insert(0, str(EXAMPLES))
    import finetune as script

    torch.set_num_threads(1)
    yield script.main
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def table(finetune, tmp_path_factory):
    """Four episodes of two frames."""
    from tiny_dataset import write_dataset

    write_dataset(folder := tmp_path_factory.mktemp("data") / "table", episodes=4, frames=2)
    return folder


@pytest.fixture(scope="module")
def road(finetune, tmp_path_factory):
    """Two drives."""
    from tiny_driving_dataset import write_driving_dataset

    write_driving_dataset(folder := tmp_path_factory.mktemp("data") / "road", episodes=2)
    return folder


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def dataset(family, table, road):
    return road if family == "alpamayo_r1" else table


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("strategy", ["A", "B", "full"])
def test_every_strategy_trains_what_it_says_and_leaves_a_whole_checkpoint(
    finetune, family, dataset, strategy, tmp_path
):
    options = ["--train", strategy, "--top_layers", "1", "--max_steps", "2", "--save_strategy", "no"]
    options += ["--adam_beta2", "0.9", "--learning_rate", "1e-3", "--lr_scheduler_type", "constant"]
    sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path)]
    trainer = finetune([*sources, *options, *QUICK])
    assert np.isfinite(losses(trainer)).all()
    groups = trainer.optimizer.optimizer.param_groups
    assert [group["lr"] for group in groups] == [1e-3, *[1e-4] * (strategy != "A")]
    assert {group["betas"] for group in groups} == {(0.9, 0.9)}
    saved = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    before = AutoModelForImageTextToText.from_pretrained(tmp_path / "tiny_model")
    trained = dict(trainer.model.named_parameters())
    moved = set()
    for (name, new), old in zip(saved.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(new, trained[name])
        moved |= {name} if not torch.equal(new, old) else set()
    assert moved <= {name for name, parameter in trained.items() if parameter.requires_grad}
    pretrained = ("backbone.", "geometric_model.", "language_model.", "vision_backbone.", "vision_tower.", "vlm.")
    inside = {name for name in moved if name.startswith(pretrained)}
    layers = {name for name in inside if ".layers." in name and not name.startswith(("vision", "geometric"))}
    if strategy == "A":
        assert all(any(part in name for part in ("film", "aggregation", "router")) for name in inside)
    assert bool(layers - {n for n in layers if "router" in n}) is (strategy != "A")
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert saved.config.view_names and saved.config.view_names == processor.view_names
    if family != "alpamayo_r1":
        statistics = json.loads((tmp_path / "dataset_statistics.json").read_text())
        assert saved.config.norm_stats == processor.norm_stats == statistics
        assert list(statistics) == ["table"]


def test_bf16_gradient_checkpointing_and_augmentation(finetune, family, dataset, tmp_path):
    options = ["--bf16", "True", "--gradient_checkpointing", "True", "--augment", "--gradient_accumulation_steps", "2"]
    sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path)]
    trainer = finetune([*sources, *options, "--max_steps", "2", "--save_strategy", "no", *QUICK])
    assert np.isfinite(losses(trainer)).all()
    adapter = load_file(tmp_path / "adapter_model.safetensors")
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in adapter.values())


def test_checkpointing_changes_nothing(finetune, family, dataset, tmp_path):
    found = []
    for on in ("False", "True"):
        sources = ["--model", family, "--dataset", str(dataset), "--output_dir", str(tmp_path / on)]
        options = ["--gradient_checkpointing", on, "--max_steps", "2", "--save_strategy", "no"]
        found.append(losses(finetune([*sources, *options, *QUICK])))
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize("family", ["cogvla", "mapanything_llava3d"])
def test_a_killed_run_resumes_to_the_same_weights(finetune, family, table, tmp_path):
    """Killed for good while it trains; what it resumes from is a checkpoint in its middle."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sources = ["--model", family, "--dataset", str(table), *QUICK, "--max_steps", "6", "--save_steps", "2"]
    finetune([*sources, "--output_dir", str(whole)])
    command = [sys.executable, str(EXAMPLES / "finetune.py"), *sources, "--output_dir", str(killed)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
    while not (killed / "checkpoint-2" / "trainer_state.json").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (killed / "adapter_model.safetensors").exists()
    (killed / "checkpoint-5").mkdir(exist_ok=True)  # one that was being written: it is not taken
    finetune([*sources, "--output_dir", str(killed), "--resume"])
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (whole, killed))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=1e-7, msg=name)


def test_help_names_our_options_and_those_of_transformers():
    said = subprocess.run(
        [sys.executable, str(EXAMPLES / "finetune.py"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    for name in ("--model", "--dataset", "--train", "--quantize", "--resume", "--bf16", "--deepspeed"):
        assert name in said


def test_the_script_is_short():
    assert len((EXAMPLES / "finetune.py").read_text().splitlines()) < 200
