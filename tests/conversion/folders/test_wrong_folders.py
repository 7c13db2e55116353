"""A folder in the place of another, or a path that leads nowhere: the error says what it is and what to run instead."""

import json
import os
import runpy
import sys
from pathlib import Path

import pytest

from vlahub.conversion import source_folder as source_module
from vlahub.conversion.cli import main
from vlahub.conversion.folders.folder_contents import look_at
from vlahub.conversion.folders.folder_roles import check_base, check_ready, check_trainable
from vlahub.conversion.source_folder import source_folder
from vlahub.errors import ConversionError

FINETUNE = Path(__file__).parents[3] / "examples" / "finetune.py"


@pytest.fixture
def no_hub(monkeypatch):
    def download(name, **_):
        raise AssertionError(f"{name} was asked for on the Hub")

    monkeypatch.setattr(source_module, "snapshot_download", download)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("runs/a/b", r"there is no such folder; .* is the last part of the path that exists"),
        ("./run", "there is no such folder"),
        ("../run", "there is no such folder"),
        ("/no/such/run", "there is no such folder; / is"),
        ("run with spaces", "there is no such folder"),
        ("~/run", "did not replace ~"),
        ("run/config.json", r"it is a file; name the folder that it lies in, run"),
        ("broken", "a link to what is not there"),
        ("", "is empty"),
    ],
)
def test_a_name_that_can_only_be_a_path_is_not_looked_for_on_the_hub(name, words, tmp_path, monkeypatch, no_hub):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "broken").symlink_to("nowhere")
    if name == "./run":
        (tmp_path / "run").rename(tmp_path / "other")
    with pytest.raises(ConversionError, match=words):
        source_folder(name)


@pytest.mark.parametrize("name", ["user/name", "gpt2", "user/name-1.0_b"])
def test_what_may_be_a_repository_is_asked_for(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source_module, "snapshot_download", lambda name, **_: f"/cache/{name}")
    assert source_folder(name) == Path("/cache") / name


@pytest.mark.parametrize(
    ("given", "patterns"),
    [
        ({}, source_module.PATTERNS),
        ({"weights": False}, source_module.SETTINGS),
        ({"everything": True}, None),
        ({"everything": True, "weights": False}, None),
    ],
)
@pytest.mark.parametrize("revision", [None, "v1"])
def test_of_a_repository_is_fetched_what_is_asked_for_at_the_revision(given, patterns, revision, tmp_path, monkeypatch):
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source_module, "snapshot_download", lambda *words, **named: asked.append((words, named)) or "")
    source_folder("user/name", revision=revision, **given)
    assert asked == [(("user/name",), {"revision": revision, "allow_patterns": patterns})]


def test_a_repository_that_cannot_be_reached_may_have_been_meant_as_a_folder(tmp_path, monkeypatch):
    def download(name, **_):
        raise OSError("offline")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source_module, "snapshot_download", download)
    with pytest.raises(ConversionError, match=f"user/name is neither .* offline .*{tmp_path}"):
        source_folder("user/name")


def folder_with(path: Path, files: dict) -> Path:
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return path


SIDE_FILE = "action_head--10_checkpoint.pt"
LEROBOT = {"type": "pi0", "input_features": {}, "output_features": {}}
FOLDERS = {
    "a LeRobot policy": ({"config.json": LEROBOT}, ["LeRobot policy", "'pi0'", "lerobot-eval"]),
    "a trained LeRobot policy": (
        {"config.json": {"type": "act"}, "train_config.json": {}, "model.safetensors": {}},
        ["LeRobot policy", "'act'", "lerobot-eval"],
    ),
    "a LeRobot policy of ours": (
        {"config.json": LEROBOT | {"type": "vlahub"}, "checkpoint/config.json": {}},
        ["LeRobot policy", "holds a checkpoint of vlahub", "/checkpoint"],
    ),
    "a LeRobot dataset": ({"meta/info.json": {}}, ["LeRobot dataset", "vlahub stats"]),
    "an adapter": (
        {"adapter_config.json": {}, "adapter_model.safetensors": {}},
        ["looks like an adapter", "vlahub merge-lora --base BASE --adapter"],
    ),
    "an adapter without weights": ({"adapter_config.json": {}}, ["an adapter without its weights", "incomplete"]),
    "a run": (
        {"config.json": {"model_type": "openvla"}, "lora_adapter/adapter_model.safetensors": {}, SIDE_FILE: {}},
        ["training run", "vlahub merge-lora --base BASE --adapter"],
    ),
    "an adapter one level down": ({"checkpoint-20/adapter_model.safetensors": {}}, ["checkpoint-20"]),
    "a pipeline": ({"model_index.json": {}}, ["diffusers"]),
}


@pytest.mark.parametrize("command", ["convert", "predict"])
@pytest.mark.parametrize("kind", FOLDERS)
def test_what_is_no_published_model_is_named_with_what_to_run(kind, command, tmp_path, capsys):
    files, words = FOLDERS[kind]
    folder = folder_with(tmp_path / "given", files)
    more = [str(tmp_path / "out")] if command == "convert" else ["--instruction", "go"]
    assert main([command, str(folder), *more]) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words) and "None" not in error and os.listdir(tmp_path) == ["given"]


def test_the_adapter_of_a_run_is_not_taken_for_the_run(cogvla, openvla, tmp_path, capsys):
    for run in (cogvla, openvla):
        adapter = run.run / "lora_adapter"
        sources = ["--base", str(run.base), "--adapter", str(adapter), "--output", str(tmp_path / "out")]
        assert main(["merge-lora", *sources, *run.options]) == 1
        error = capsys.readouterr().err
        assert f"that of the run {run.run}" in error and f"--base {run.base} --adapter {run.run} " in error
        assert main(["convert", str(adapter), str(tmp_path / "out"), *run.options]) == 1
        assert f"--base BASE --adapter {run.run} " in capsys.readouterr().err


def test_a_published_openvla_that_is_asked_to_predict_is_to_be_converted(openvla, capsys):
    assert main(["predict", str(openvla.base), "--instruction", "go"]) == 1
    assert f"vlahub convert {openvla.base} OUTPUT" in capsys.readouterr().err


def test_a_published_openvla_given_to_the_fine_tuning_script_is_to_be_converted(openvla, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FINETUNE.parent)
    options = ["--model", str(openvla.base), "--dataset", "demo", "--output_dir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["finetune.py", *options])
    with pytest.raises((ConversionError, SystemExit)) as stopped:
        runpy.run_path(str(FINETUNE), run_name="__main__")
    said = f"{stopped.value} {capsys.readouterr().err}"
    assert f"vlahub convert {openvla.base} OUTPUT" in said and "upgrade" not in said.lower()


def test_checkpoints_of_ours_are_what_they_should_be(merged, assembled):
    check_ready(merged)
    check_trainable(str(assembled))


@pytest.mark.parametrize(
    ("config", "option"), [({"model_type": "alpamayo_r1"}, "--vlm BASE"), ({"model_type": "mapanything_llava3d"}, "")]
)
@pytest.mark.parametrize("files", [{"model.safetensors": {}}, {}])
def test_what_is_published_is_to_be_converted_before_it_is_trained(config, option, files, tmp_path):
    folder = folder_with(tmp_path / "given", {"config.json": config, **files})
    with pytest.raises(ConversionError, match=f"vlahub convert {folder} OUTPUT {option}".strip()):
        check_trainable(str(folder))


def test_what_transformers_knows_can_be_trained(tmp_path):
    files = {"config.json": {"model_type": "llama"}, "model.safetensors": {}, "checkpoint-5/adapter_model.bin": {}}
    check_trainable(str(folder_with(tmp_path / "given", files)))
    check_trainable("user/name")
    with pytest.raises(ConversionError, match="cannot be trained: there is no such folder"):
        check_trainable("/no/such/folder")


LAYOUTS = {  # folders in a folder, and what a command that loads a checkpoint, and one that merges, say of it
    "a run and its base": (["base", "run"], "Run first: vlahub merge-lora --base {}/base --adapter {}/run", "base"),
    "a run": (["run"], "Run first: vlahub merge-lora --base BASE --adapter {}/run", "run"),
    "a base": (["base"], "Run first: vlahub convert {}/base OUTPUT", "base"),
    "all": (["base", "merged", "run"], "Name a checkpoint in it: {}/merged", "base, {}/merged"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_folder_above_is_answered_by_what_the_command_needs(name, cogvla, merged, tmp_path):
    folders, to_load, to_merge = LAYOUTS[name]
    (place := tmp_path / "place").mkdir()
    for kind in folders:
        (place / kind).symlink_to({"base": cogvla.base, "run": cogvla.run, "merged": merged}[kind])
    with pytest.raises(ConversionError) as error:
        check_ready(place)
    assert to_load.replace("{}", str(place)) in str(error.value)
    with pytest.raises(ConversionError) as error:
        check_base(look_at(place))
    assert str(error.value).endswith(f"in it: {place}/{to_merge.replace('{}', str(place))}")
