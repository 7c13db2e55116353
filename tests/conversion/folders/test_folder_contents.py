"""Folders in the wrong place are refused: what each looks like, and the command that would fit."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.cli import main
from vlahub.conversion.folders.folder_contents import Kind, look_at

SIDE_FILES = ("action_head--10_checkpoint.pt", "vision_backbone--10_checkpoint.pt")


def put(folder, *names, config=None):
    """A folder with files of these names; weights and adapters hold one tensor, for nothing here looks into them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".safetensors"):
            save_file({"weight": torch.ones(2, 2)}, path)
        elif name.endswith((".pt", ".bin")):
            torch.save({"weight": torch.ones(2, 2)}, path)
        else:
            path.write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


WORDS = {kind: kind.value for kind in Kind} | {Kind.FRAMEWORK_RUN: "a training run of 3dvla-starvla_framework"}
LLAMA, OPENVLA = {"model_type": "llama"}, {"model_type": "openvla"}
PI0 = {"type": "pi0", "input_features": {}, "output_features": {}}
FOLDERS = {
    "base": (Kind.MODEL, ["model.safetensors"], LLAMA),
    "published": (Kind.MODEL, ["model.safetensors"], OPENVLA),
    "pickled base": (Kind.MODEL, ["pytorch_model.bin"], LLAMA),
    "merged run": (Kind.MERGED_RUN, ["model.safetensors", *SIDE_FILES], OPENVLA),
    "merged run with its adapter": (
        Kind.MERGED_RUN,
        ["model.safetensors", "lora_adapter/adapter_model.safetensors", *SIDE_FILES],
        OPENVLA,
    ),
    "merged discrete run": (
        Kind.MERGED_RUN,
        ["model.safetensors", "lora_adapter/adapter_model.safetensors", "dataset_statistics.json"],
        OPENVLA,
    ),
    "run": (Kind.RUN, ["lora_adapter/adapter_model.safetensors", *SIDE_FILES], OPENVLA),
    "plain adapter": (Kind.ADAPTER, ["adapter_model.safetensors", "adapter_config.json"], None),
    "adapter inside": (Kind.ADAPTER, ["lora_adapter/adapter_model.bin"], OPENVLA),
    "side files": (Kind.SIDE_FILES, list(SIDE_FILES), OPENVLA),
    "LeRobot": (Kind.LEROBOT, ["model.safetensors"], PI0),
    "a model with LeRobot's words": (Kind.MODEL, ["model.safetensors", "train_config.json"], LLAMA | PI0),
    "framework": (Kind.FRAMEWORK_RUN, ["checkpoints/steps_10_pytorch_model.pt"], {"framework": {"name": "x"}}),
    "cogvla": (Kind.CONVERTED, ["model.safetensors"], {"model_type": "cogvla"}),
    "composed": (Kind.CONVERTED, ["model.safetensors"], {"model_type": "multimodal_vla"}),
    "alpamayo": (Kind.CONVERTED, ["model.safetensors"], {"model_type": "alpamayo_r1", "vlm_config": {}}),
    "published alpamayo": (Kind.MODEL, ["model.safetensors"], {"model_type": "alpamayo_r1"}),
    "nothing": (Kind.OTHER, [], None),
    "config alone": (Kind.OTHER, [], LLAMA),
}
ADAPTED = ("run", "plain adapter", "adapter inside")


@pytest.fixture
def folder(tmp_path):
    def make(name):
        _, files, config = FOLDERS[name]
        return put(tmp_path / name, *files, config=config)

    return make


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_recognised(name, folder):
    found = look_at(folder(name))
    assert found.kind is FOLDERS[name][0], found


def refused(capsys, tmp_path, *command):
    before = sorted(tmp_path.rglob("*"))
    assert main([str(word) for word in command]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and len(error.splitlines()) == 1, error
    assert sorted(tmp_path.rglob("*")) == before
    return error


@pytest.mark.parametrize("adapter", ADAPTED)
@pytest.mark.parametrize("base", ["base", "published", "cogvla"])
def test_swapped_folders_are_refused_with_the_right_command(base, adapter, folder, tmp_path, capsys):
    model, trained, out = folder(base), folder(adapter), tmp_path / "out"
    command = ["merge-lora", "--base", trained, "--adapter", model, "--output", out, "--decoding", "parallel"]
    error = refused(capsys, tmp_path, *command)
    assert "seem to be swapped" in error
    assert f"merge-lora --base {model} --adapter {trained}" in error
    assert WORDS[FOLDERS[base][0]] in error and WORDS[FOLDERS[adapter][0]] in error


@pytest.mark.parametrize("base", [name for name in FOLDERS if FOLDERS[name][0] not in (Kind.MODEL, Kind.CONVERTED)])
def test_a_base_is_a_whole_model_and_nothing_else(base, folder, tmp_path, capsys):
    model, adapter = folder(base), put(tmp_path / "adapter", "adapter_model.safetensors", "adapter_config.json")
    error = refused(capsys, tmp_path, "merge-lora", "--base", model, "--adapter", adapter, "--output", tmp_path / "out")
    assert f"{model} looks like {WORDS[FOLDERS[base][0]]}" in error


@pytest.mark.parametrize(
    "adapter", [name for name in FOLDERS if FOLDERS[name][0] not in (Kind.RUN, Kind.ADAPTER, Kind.MERGED_RUN)]
)
@pytest.mark.parametrize("family", ["auto", "cogvla", "generic"])
def test_an_adapter_folder_holds_an_adapter(adapter, family, folder, tmp_path, capsys):
    model, trained = put(tmp_path / "model", "model.safetensors", config=OPENVLA), folder(adapter)
    command = ["merge-lora", "--base", model, "--adapter", trained, "--output", tmp_path / "out", "--family", family]
    error = refused(capsys, tmp_path, *command)
    assert "holds no adapter" in error
    assert f"{trained} looks like {WORDS[FOLDERS[adapter][0]]}" in error


@pytest.mark.parametrize("source", ["run", "plain adapter", "adapter inside", "side files", "LeRobot", "cogvla"])
def test_what_is_converted_is_a_whole_model(source, folder, tmp_path, capsys):
    error = refused(capsys, tmp_path, "convert", folder(source), tmp_path / "out")
    assert f"looks like {WORDS[FOLDERS[source][0]]}" in error
    if source in ADAPTED:
        assert f"merge-lora --base BASE --adapter {tmp_path / source}" in error


@pytest.mark.parametrize("checkpoint", ["run", "plain adapter", "side files", "LeRobot", "framework"])
def test_what_is_verified_is_a_checkpoint(checkpoint, folder, tmp_path, capsys):
    error = refused(capsys, tmp_path, "verify", folder(checkpoint))
    assert f"looks like {WORDS[FOLDERS[checkpoint][0]]}" in error


def test_sources_are_looked_at_when_a_checkpoint_is_verified_against_them(folder, tmp_path, capsys):
    model, trained = folder("published"), folder("run")
    error = refused(capsys, tmp_path, "verify", folder("cogvla"), "--against", model, "--base", trained)
    assert "seem to be swapped" in error


@pytest.mark.parametrize("role", ["vision", "language", "geometry"])
def test_a_part_of_an_assembly_is_a_whole_model(role, folder, tmp_path, capsys):
    parts = {name: put(tmp_path / f"{name} part", "model.safetensors", config=LLAMA) for name in ("vision", "language")}
    parts |= {"geometry": parts["vision"], role: folder("merged run")}
    words = [word for name, path in parts.items() for word in (f"--{name}", path)]
    family = ["--family", "mapanything_llava3d", "--action-horizon", "4"]
    error = refused(capsys, tmp_path, "assemble", *family, *words, "--output", tmp_path / "out")
    assert f"--{role} must name a whole model" in error


def test_the_adapter_alone_of_a_run_is_not_merged(folder, tmp_path, capsys):
    model, run = folder("published"), folder("run")
    inside = run / "lora_adapter"
    error = refused(capsys, tmp_path, "merge-lora", "--base", model, "--adapter", inside, "--output", tmp_path / "out")
    assert f"that of the run {run}" in error and f"--adapter {run} " in error
    error = refused(capsys, tmp_path, "convert", inside, tmp_path / "out")
    assert f"--adapter {run} " in error


@pytest.mark.parametrize("below", ["checkpoint-20", "lora_adapter/arm"])
def test_an_adapter_one_level_down_is_named(below, folder, tmp_path, capsys):
    model, run = folder("base"), put(tmp_path / "runs", f"{below}/adapter_model.safetensors")
    error = refused(capsys, tmp_path, "merge-lora", "--base", model, "--adapter", run, "--output", tmp_path / "out")
    assert re.search(rf"Name the folder .*{re.escape(str(run / below))}", error)


def test_a_real_run_and_its_base_are_not_swapped_unseen(openvla, tmp_path, capsys):
    """The run of the example, with `--decoding parallel` as the message of the right order advises."""
    copy = openvla.copied_with_base(tmp_path)
    command = ["merge-lora", "--base", copy.run, "--adapter", copy.base, "--output", tmp_path / "out"]
    error = refused(capsys, tmp_path, *command, "--decoding", "parallel")
    assert "seem to be swapped" in error
    assert not Path(tmp_path / "out").exists()
    shutil.rmtree(copy.run)
