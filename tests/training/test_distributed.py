"""Two processes learn what one learns: DDP and FSDP2 under `accelerate launch`, FSDP2 in a loop; DeepSpeed's file."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from itertools import chain
from pathlib import Path

import pytest
import torch
import transformers.integrations.deepspeed as deepspeed
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from safetensors.torch import load_file
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from transformers import TrainingArguments

import vlahub
from vlahub.configuration.transformers_release import IS_4
from vlahub.training.sharding import layers_to_shard

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
FSDP2 = EXAMPLES / "accelerate_fsdp2.yaml"
ZERO3 = EXAMPLES / "deepspeed_zero3.json"
LAUNCH = ["-m", "accelerate.commands.launch", "--main_process_port", "0"]  # any that is free
UNDER_DDP = [*LAUNCH, "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
UNDER_DDP += ["--mixed_precision", "no", "--dynamo_backend", "no"]
UNDER_FSDP2 = [*LAUNCH, "--config_file", str(FSDP2)]
NEAR = {"rtol": 1e-4, "atol": 1e-4}
EVERY = 2 if IS_4 else 1  # of the cases: there it is seen that they learn with that line, too
CALM = {"dit_config": {"dropout": 0.0}}  # what is dropped would differ between one process and two


def job(family, train="lora", fields=None, more=None, **arguments):
    """What finetune_worker.py does: examples/finetune.py for a tiny model, with fields of its config."""
    arguments = {f"--{name}": value for name, value in {"train": train, **arguments}.items()}
    return {"family": family, "fields": fields, "arguments": arguments, **(more or {})}


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
SIZES |= {"head_dim": 16, "vocab_size": 320, "initializer_range": 0.1}
MIXTURE = {"model_type": "qwen3_moe", "num_experts": 32, "num_experts_per_tok": 1, "moe_intermediate_size": 8, **SIZES}
DDP_JOBS = {
    "cogvla": job("cogvla"),
    "cogvla, diffusion": job("cogvla", "A", {"action_head": "diffusion"}),
    "llava3d": job("mapanything_llava3d"),
    "llava3d, both": job("mapanything_llava3d", "full", {"action_expert_type": "deep_fusion+dit", **CALM}),
    "composed": job("multimodal_vla"),
    "composed, flow": job("multimodal_vla", "full", {"action_head": "flow"}),
    "alpamayo": job("alpamayo_r1"),
    "composed, mixture of experts": job("multimodal_vla", "full", {"text_config": MIXTURE}),
}
OTHER_JOBS = {  # whose losses shall not be those of one process
    "llava3d, items of its own": job("mapanything_llava3d", more={"local_items": True}),
    "llava3d, times of its own": job("mapanything_llava3d", more={"draws": True}),
}
FSDP2_JOBS = {
    "cogvla": job("cogvla", gradient_checkpointing=True),
    "llava3d": job("mapanything_llava3d", "A", {"action_expert_type": "dit", **CALM}),
    "composed": job("multimodal_vla", "B", {"action_head": "flow"}, top_layers=2),
    "alpamayo": job("alpamayo_r1", "full", gradient_checkpointing=True),
}


BF16_JOBS = {
    "llava3d, bf16": job("mapanything_llava3d", "full", bf16=True, max_steps=2),
    "alpamayo, bf16": job("alpamayo_r1", "A", bf16=True, max_steps=2),
}


def start(arguments, log, gpus=False):
    """A process of this Python that must end well; the end of what it writes is shown where it does not."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if not gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    with log.open("w") as file:
        ended = subprocess.run([sys.executable, *map(str, arguments)], stdout=file, stderr=file, env=environment)
    assert ended.returncode == 0, log.read_text()[-8000:]


def finetune(folder, run, jobs, launcher=()):
    """Results of the jobs, `{name: {figure: values of every step}}`; what they save lies in folder/run."""
    (folder / run).mkdir()
    (folder / f"{run}.json").write_text(json.dumps(jobs))
    start([*launcher, HERE / "finetune_worker.py", folder, folder / f"{run}.json", folder / run], folder / f"{run}.log")
    return json.loads((folder / run / "results.json").read_text())


def check_same_training(folder, jobs, one, two):
    for name in jobs:
        figures = one[name]["figures"]
        assert len(figures["action_loss"]) == 4 and len(set(figures["action_loss"])) == 4
        for figure, values in figures.items():
            assert two[name]["figures"][figure] == pytest.approx(values, rel=1e-4, abs=1e-4), f"{name}: {figure}"
        files = {run: saved_files(folder / run / name) for run in ("one", "two")}
        assert files["one"] == files["two"], name
        weights = next(file for file in files["one"] if file.endswith("model.safetensors"))
        check_same_weights(folder / "one" / name / weights, folder / "two" / name / weights)


def saved_files(folder):
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def check_same_weights(first, second):
    first, second = load_file(first), load_file(second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, **NEAR, msg=lambda text, name=name: f"{name}: {text}")


def test_two_processes_with_ddp_learn_what_one_learns(tmp_path):
    jobs = dict([*DDP_JOBS.items()][::EVERY])
    one = finetune(tmp_path, "one", jobs)
    two = finetune(tmp_path, "two", jobs | OTHER_JOBS, UNDER_DDP)
    check_same_training(tmp_path, jobs, one, two)
    # Were what the losses are divided by each process's own, those of LLaVA-3D would differ.
    losses = [results["figures"]["action_loss"] for results in (one["llava3d"], two["llava3d, items of its own"])]
    assert max(abs(a - b) for a, b in zip(*losses, strict=True)) > 0.01
    # Times that the data does not bring are other ones in each process.
    first, second = ([*chain(*times)] for times in two["llava3d, times of its own"]["times"])
    assert len(first) == len(second) == 8 and not set(first) & set(second)


def test_two_processes_with_fsdp2_learn_what_one_learns(tmp_path):
    jobs = FSDP2_JOBS | BF16_JOBS
    one = finetune(tmp_path, "one", jobs)
    two = finetune(tmp_path, "two", jobs, UNDER_FSDP2)
    assert all(two[name]["sharded"] and not one[name]["sharded"] for name in jobs)
    check_same_training(tmp_path, FSDP2_JOBS, one, two)
    for name in BF16_JOBS:  # as near as its rounding: what goes in and the loss that comes out are float32 in both
        for figure, values in one[name]["figures"].items():
            assert len(values) == 2
            assert two[name]["figures"][figure] == pytest.approx(values, rel=2e-2), f"{name}: {figure}"
    given = sorted(chain(*chain(*one["llava3d, bf16"]["times"])))
    assert len(set(given)) == len(given) == 8
    assert sorted(chain(*chain(*two["llava3d, bf16"]["times"]))) == given


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpus_with_fsdp2_train_and_save_one_folder(tmp_path):
    launcher = [*UNDER_FSDP2, "--num_processes", torch.cuda.device_count()]
    arguments = ["--model", "mapanything_llava3d", "--output_dir", tmp_path / "out", "--max_steps", 2, "--bf16"]
    start([*launcher, EXAMPLES / "finetune.py", *arguments, "--train", "full"], tmp_path / "log", gpus=True)
    loaded = vlahub.MapAnythingLlava3DForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert all(parameter.isfinite().all() for parameter in loaded.parameters())


def test_a_sharded_model_learns_saves_and_predicts_as_a_whole_one(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    start([*launcher, HERE / "sharding_worker.py", tmp_path, EVERY], tmp_path / "log")
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == (7 if IS_4 else 13)
    for name, found in results.items():
        for way in ("sharded", "checkpointed"):
            assert found[way]["not split"] == [] and found[way]["gradients of one alone"] == [], f"{name}, {way}"
            losses = found[way]["losses"]
            assert losses == pytest.approx(found["whole"][: len(losses)], rel=1e-4), f"{name}, {way}"
            assert found[way]["gradients"] < 1e-5 and found[way]["norm"] < 1e-5, f"{name}, {way}"
        assert len(found["sharded"]["losses"]) == 3 and len(found["checkpointed"]["losses"]) == 1
        assert found["moved"] > 1e-3 and found["predictions"] < 1e-5, name
        saved, wanted = (tmp_path / name / folder for folder in ("saved", "wanted"))
        assert saved_files(saved) == saved_files(wanted), name
        assert (saved / "config.json").read_text() == (wanted / "config.json").read_text()
        check_same_weights(saved / "model.safetensors", wanted / "model.safetensors")


# ---- the files that the launchers read


def test_accelerate_wraps_the_layers_of_every_family(family, family_checkpoint, monkeypatch):
    config = load_config_from_file(str(FSDP2))
    assert config.distributed_type == "FSDP" and config.num_processes == 2
    for name, value in config.fsdp_config.items():  # as `accelerate launch` hands them on
        monkeypatch.setenv(name.upper(), str(value))
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "FULL_STATE_DICT" and plugin.transformer_cls_names_to_wrap is None
    model = family.model.from_pretrained(family_checkpoint)
    plugin.set_auto_wrap_policy(model)
    assert plugin.auto_wrap_policy.func is transformer_auto_wrap_policy
    wrapped = plugin.auto_wrap_policy.keywords["transformer_layer_cls"]
    assert sorted(layer.__name__ for layer in wrapped) == model._no_split_modules
    decoder = model.language_part
    assert any(isinstance(module, tuple(wrapped)) for module in decoder.modules())


def test_layers_that_a_model_does_not_have_are_not_named(family, family_checkpoint):
    model = family.model.from_pretrained(family_checkpoint)
    there = {type(module).__name__ for module in model.modules()}
    model._no_split_modules = [*model._no_split_modules, "DecoderLayerOfAnotherModel"]
    assert layers_to_shard(model) == sorted(there & set(model._no_split_modules))


class TrainerConfig(deepspeed.HfTrainerDeepSpeedConfig, HfDeepSpeedConfig):
    """What a Trainer makes of the file, also where deepspeed is not installed."""


@pytest.mark.parametrize(("options", "dtype"), [({}, torch.float32), ({"bf16": True}, torch.bfloat16)])
def test_deepspeed_takes_its_numbers_from_the_arguments(
    family, family_checkpoint, monkeypatch, tmp_path, options, dtype
):
    monkeypatch.setattr(deepspeed, "dep_version_check", lambda name: None)
    monkeypatch.setattr(deepspeed, "_hf_deepspeed_config_weak_ref", None)
    arguments = TrainingArguments(tmp_path, use_cpu=True, per_device_train_batch_size=3, max_grad_norm=0.5, **options)
    config = TrainerConfig(str(ZERO3))
    assert config.is_zero3() and not config.is_offload()
    config.trainer_config_process(arguments)
    config.trainer_config_finalize(arguments, Namespace(config=family.config.from_pretrained(family_checkpoint)), 10)
    assert config.config["train_batch_size"] == 3 and config.config["gradient_clipping"] == 0.5
    assert config.dtype() == dtype
    assert config.is_true("zero_optimization.stage3_gather_16bit_weights_on_model_save")
    assert "auto" not in json.dumps(config.config)
