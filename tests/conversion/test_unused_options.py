"""Options that a model has no use for are refused by name; none is left out without a word."""

import argparse
from dataclasses import fields
from types import SimpleNamespace

import pytest
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from vlahub.conversion.cli import main
from vlahub.conversion.families import FAMILIES
from vlahub.conversion.unused_options import COMMANDS, refuse_unused, words_of_options
from vlahub.errors import ConversionError

GIVEN = {
    "--num-images 2": "--num-images",
    "--platform libero": "--platform",
    "--no-center-crop": "--center-crop",
    "--num-action-chunks 8": "--num-action-chunks",
}
DECLARED = words_of_options()


def declared_by(family):
    found = set()
    for command in COMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        family.arguments.get(command, lambda parser: None)(parser)
        found |= {action.dest for action in parser._actions}
    return found - set(family.parts)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_uses_the_options_that_it_declares_and_refuses_those_of_others(name):
    family = FAMILIES[name]
    own = {option.name for option in fields(family.options)} if family.options else set()
    assert declared_by(family) <= own <= DECLARED.keys()
    refuse_unused(dict.fromkeys(own, 1), family.options, [], name)
    roles = {role for other in FAMILIES.values() for role in other.parts}
    for option in DECLARED.keys() - own - roles:
        with pytest.raises(ConversionError, match=f"^{DECLARED[option]}: a model of the kind '{name}' has no use"):
            refuse_unused({option: 1}, family.options, [], name)


def test_all_that_is_not_used_is_named_at_once():
    with pytest.raises(ConversionError, match=r"^--num-images, --no-state, --vlm: "):
        refuse_unused({"statistics": 1, "num_images": 2, "use_state": False}, FAMILIES["generic"].options, ["vlm"], "x")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A base of no family of ours, and a LoRA for it."""
    folder = tmp_path_factory.mktemp("llama")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, num_key_value_heads=2, **sizes))
    model.save_pretrained(folder / "base")
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder / "adapter")
    return SimpleNamespace(base=str(folder / "base"), adapter=str(folder / "adapter"))


@pytest.mark.parametrize("given", GIVEN)
def test_a_merge_into_any_model_refuses_what_only_a_family_reads(given, llama, tmp_path, capsys):
    words = ["merge-lora", "--base", llama.base, "--adapter", llama.adapter, "--output", str(tmp_path / "out")]
    assert main([*words, "--quiet", *given.split()]) == 1
    assert capsys.readouterr().err.startswith(f"error: {GIVEN[given]}: a model of the kind 'generic' has no use for it")
    assert not (tmp_path / "out").exists()
    assert main([*words, "--quiet"]) == 0


def test_a_checkpoint_of_ours_that_is_quantised_takes_no_settings(family_checkpoint, tmp_path, capsys):
    words = ["convert", str(family_checkpoint), str(tmp_path / "out"), "--quantize", "int8", "--dry-run"]
    assert main([*words, "--normalization", "normal"]) == 1
    assert "--normalization: a model of the kind" in capsys.readouterr().err
    assert main([*words, "--quiet"]) == 0
