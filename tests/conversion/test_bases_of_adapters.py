"""An adapter is added to the base that it was trained beside, or the command says that it may not be."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub.conversion import source_folder
from vlahub.conversion.bases_of_adapters import may_be_one
from vlahub.conversion.cli import main

SIZES = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
CACHED = "/home/me/hub/models--org--base/snapshots/0123456789abcdef"


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    """Two bases and an adapter that names neither yet, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("base", "other")):
        torch.manual_seed(seed)
        LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(name)
    adapted = get_peft_model(LlamaForCausalLM.from_pretrained("base"), LoraConfig(target_modules=["q_proj"], r=2))
    adapted.save_pretrained("adapter")


def names(adapter="adapter", **said):
    with open(f"{adapter}/adapter_config.json", "r+") as file:
        config = json.load(file) | said
        file.seek(0)
        json.dump(config, file)
        file.truncate()


def merge(base, *adapters, output="out"):
    words = [word for adapter in adapters or ["adapter"] for word in ("--adapter", adapter)]
    return main(["merge-lora", "--base", base, *words, "--output", output, "--quiet"])


@pytest.mark.parametrize(
    "named", ["other", "org/other", "/data/other/", "models--org--other/snapshots/0123", "C:\\m\\o"]
)
@pytest.mark.parametrize("place", ["adapter", "run/lora_adapter"])
def test_a_base_of_another_name_is_told(named, place, capsys):
    names(base_model_name_or_path=named)
    if place != "adapter":
        shutil.copytree("adapter", place)
    assert merge("base", place.partition("/")[0]) == 0
    told = capsys.readouterr().err
    assert "warning: --base is base, but " in told and f"was trained beside {named}" in told


@pytest.mark.parametrize("named", [None, "base", "org/base", "./base", "/moved/from/base/", CACHED, "D:\\models\\Base"])
def test_a_base_that_may_be_the_same_is_taken_in_silence(named, capsys):
    names(base_model_name_or_path=named)
    assert merge("base") == 0 and "warning: --base" not in capsys.readouterr().err


@pytest.mark.parametrize("named", ["link", "base"])
def test_a_link_is_called_as_it_is_named_and_as_what_it_leads_to(named, tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path / "base")
    names(base_model_name_or_path=named)
    assert merge("link") == 0 and "warning: --base" not in capsys.readouterr().err


def test_a_base_that_holds_another_adapter_of_the_same_base_is_taken_in_silence(capsys):
    assert merge("base", output="first") == 0
    shutil.copytree("adapter", "second")
    weights = load_file("second/adapter_model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, "second/adapter_model.safetensors")
    assert merge("first", "second") == 0 and "warning: --base" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (CACHED, "org/base", True),
        (CACHED, "ORG/Base", True),
        (CACHED, "another/base", False),  # a repository is its owner's
        (CACHED, "base", True),
        (CACHED, CACHED.replace("org", "another"), False),
        (CACHED, "/data/base-8bit", False),
        ("base", "another/base", True),
    ],
)
def test_names_of_repositories_count_whole_and_those_of_folders_by_their_last_part(one, two, same):
    assert may_be_one(one, two) == may_be_one(two, one) == same


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Downloads of org/base: main is `other`, the commit abc is `base`."""
    asked = []

    def download(name, revision=None, **_):
        asked.append((name, revision))
        place = tmp_path / "models--org--base" / "snapshots" / str(revision)
        if not place.exists():
            shutil.copytree({None: "other", "abc": "base"}[revision], place)
        return str(place)

    monkeypatch.setattr(source_folder, "snapshot_download", download)
    return asked


def test_a_repository_is_taken_in_the_revision_that_the_adapter_names(hub, tmp_path):
    names(base_model_name_or_path="org/base", revision="abc")
    assert merge("org/base") == 0 and hub == [("org/base", "abc")]
    written, wanted = (load_file(f"{folder}/model.safetensors") for folder in ("out", "base"))
    assert torch.equal(written["model.embed_tokens.weight"], wanted["model.embed_tokens.weight"])
    assert main(["verify", "out", "--against", "adapter", "--base", "org/base", "--quiet"]) == 0
    assert hub[-1] == ("org/base", "abc")


def test_adapters_of_several_revisions_have_no_common_base(hub, capsys, tmp_path):
    names(base_model_name_or_path="org/base", revision="abc")
    shutil.copytree("adapter", "second")
    names("second", revision="def")
    assert merge("org/base", "adapter", "second") == 1
    assert "different revisions of it (abc, def)" in capsys.readouterr().err
    assert not hub and not (tmp_path / "out").exists()


def test_a_revision_of_another_repository_is_not_asked_for(hub):
    names(base_model_name_or_path="another/model", revision="abc")
    assert merge("org/base") == 0 and hub == [("org/base", None)]
