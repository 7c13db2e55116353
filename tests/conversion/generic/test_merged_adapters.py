"""An adapter is added to a model once, whatever its folder is called and however often somebody asks."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub.conversion.cli import main
from vlahub.conversion.merged_adapters import MERGED

SIZES = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def merge(tmp_path, monkeypatch):
    """A base, two adapters and a copy of the first in a folder, and how they are merged there."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(0)
        base = LlamaForCausalLM(LlamaConfig(**SIZES))
        base.save_pretrained("base")
        torch.manual_seed(seed)
        get_peft_model(base, LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)).save_pretrained(name)
    shutil.copytree("first", "copy")

    def call(base, *adapters, output="out"):
        words = [word for adapter in adapters for word in ("--adapter", adapter)]
        return main(["merge-lora", "--base", base, *words, "--output", output, "--quiet"])

    return call


def test_an_adapter_is_added_once_to_what_comes_of_its_base(merge, tmp_path, capsys):
    assert merge("base", "first", output="one") == 0
    assert merge("one", "copy", output="again") == 1
    assert "--base one holds the adapter copy already" in capsys.readouterr().err and not (tmp_path / "again").exists()
    assert merge("one", "second", output="both") == 0
    assert len(json.loads((tmp_path / "both" / "conversion_report.json").read_text())[MERGED]) == 2
    for adapter in ("first", "second"):
        assert merge("both", adapter, output="again") == 1
    assert "holds the adapter second already" in capsys.readouterr().err and not (tmp_path / "again").exists()
    assert main(["verify", "both", "--against", "second", "--base", "one", "--quiet"]) == 0


def test_of_two_adapters_in_a_run_the_one_that_is_merged_is_recorded(merge, capsys):
    shutil.copytree("second", "run")
    shutil.copytree("first", "run/lora_adapter")
    assert merge("base", "run", output="one") == 0
    assert merge("one", "first") == 1
    assert "--base one holds the adapter first already" in capsys.readouterr().err
    assert merge("one", "second") == 0


def test_two_copies_of_one_adapter_are_one(merge, tmp_path, capsys):
    assert merge("base", "first", "copy") == 1
    assert "--adapter copy is given twice" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert merge("base", "first", "second") == 0
