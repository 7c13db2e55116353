"""Which source a tensor of the output has: later files supersede earlier ones, copies in one file have to be equal."""

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import save_file

from vlahub.conversion.checkpoint_plan import choose_dtype
from vlahub.conversion.tensors.choice import choose
from vlahub.conversion.tensors.collected import SourceGroup, collect
from vlahub.conversion.tensors.plan import Fact
from vlahub.conversion.tensors.rename import Row
from vlahub.conversion.tensors.tensor_source import TensorFile, TensorGroup
from vlahub.errors import ConversionError

TABLE = [
    Row(r"(?:copy\.)?(layer\.(?:weight|bias))", r"\1", "a layer"),
    Row(r"head\.(.+)", r"layer.\1", "the same under another name"),
    Row(r"dead\..+", None, "not needed"),
]
ONES, TWOS = torch.ones(4, 4), torch.full((4, 4), 2.0)
LORA = {
    "base_model.model.layer.lora_A.weight": torch.ones(2, 4),
    "base_model.model.layer.lora_B.weight": torch.ones(4, 2),
}


@pytest.fixture
def group(tmp_path):
    """A function that makes one file of tensors."""

    def make(name, tensors, **settings):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        return SourceGroup(TensorGroup([TensorFile(tmp_path / f"{name}.safetensors", name)]), TABLE, **settings)

    return make


def chosen(collected):
    return choose("layer.weight", (4, 4), collected, torch.float32)


def test_a_later_file_supersedes_an_earlier_one(group):
    collected = collect([group("base", {"layer.weight": ONES, "dead.x": TWOS}), group("run", {"layer.weight": TWOS})])
    assert str(collected.best("layer.weight")) == "run:layer.weight"  # which sizes of a model are read from
    planned, leftovers = chosen(collected)
    assert str(planned.source) == "run:layer.weight" and planned.operation == "copy"
    assert [(str(left.source), left.status, left.reason) for left in [*collected.leftovers, *leftovers]] == [
        ("base:dead.x", "unused", "not needed"),
        ("base:layer.weight", "superseded", "run has it"),
    ]


def test_auto_is_the_dtype_of_the_bases_embeddings_whatever_a_run_has(group):
    base, run = group("base", {"layer.weight": ONES.bfloat16()}), group("run", {"layer.weight": TWOS})
    facts = []
    assert choose_dtype("auto", collect([base, run]), "layer.weight", facts) == torch.bfloat16
    assert facts == [Fact("dtype", "bfloat16", "read (embeddings)")]


def test_copies_in_one_file_are_one_tensor_under_its_shortest_name(group):
    planned, leftovers = chosen(collect([group("run", {"copy.layer.weight": ONES, "layer.weight": ONES.clone()})]))
    assert planned.source.key == "layer.weight"
    assert [left.reason for left in leftovers] == ["the same tensor under another name"]
    with pytest.raises(ConversionError, match=r"two versions of one tensor: layer\.weight and copy\.layer\.weight"):
        chosen(collect([group("other", {"copy.layer.weight": TWOS, "layer.weight": ONES})]))


def test_what_keys_lack_in_front_is_put_there(group):
    planned, _ = chosen(collect([group("side", {"module.weight": TWOS}, prefix="head.")]))
    assert planned.source.label == "side"


def test_an_adapter_goes_into_the_weights_that_lack_it_and_into_no_others(group):
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["layer"])
    adapter = group("adapter", LORA)
    file = adapter.files.files[0]
    planned, _ = chosen(collect([group("base", {"layer.weight": ONES}, unmerged=True), adapter], file, config))
    assert planned.operation == "merge_lora"
    planned, leftovers = chosen(collect([group("merged", {"layer.weight": ONES}), adapter], file, config))
    assert planned.operation == "copy" and {left.reason for left in leftovers} == {"merged has the trained weight"}


def test_a_part_of_a_lora_under_two_names_is_one_or_refused(group):
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["layer"])
    again = {name.replace("lora_A", "lora_A.other"): value.clone() for name, value in LORA.items()}
    side = {"layer.base_layer.weight": ONES, **LORA, **again}
    planned, leftovers = chosen(collect([group("side", side)], lora_config=config))
    assert planned.operation == "merge_lora"
    assert [left.reason for left in leftovers] == ["the same tensor under another name"]
    again["base_model.model.layer.lora_A.other.weight"] += 1
    with pytest.raises(ConversionError, match=r"two versions of one tensor: .*lora_A\.\S*weight and \S+lora_A"):
        chosen(collect([group("twice", {**side, **again})], lora_config=config))


def test_the_bias_of_a_lora_goes_into_the_bias_that_lacks_it_and_into_no_other(group):
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["layer"], lora_bias=True)
    adapter = group("adapter", {**LORA, "base_model.model.layer.lora_B.bias": torch.ones(4)})
    file, trained = adapter.files.files[0], {"layer.bias": torch.ones(4)}
    base, run = group("base", {"layer.weight": ONES, **trained}, unmerged=True), group("run", trained)
    planned, left = choose("layer.bias", (4,), collect([base, adapter], file, config), torch.float32)
    assert planned.operation == "merge_lora_bias" and not left
    collected = collect([base, adapter, run], file, config)
    planned, left = choose("layer.bias", (4,), collected, torch.float32)
    assert planned.operation == "copy" and len(left) == 2 and str(left[1].source).endswith("lora_B.bias")
    planned, left = chosen(collected)
    assert planned.operation == "merge_lora" and not left


def test_a_lora_without_a_config_is_refused(group):
    with pytest.raises(ConversionError, match="without which its strength"):
        collect([group("run", LORA)])


def test_what_no_file_has_is_named(group):
    collected = collect([group("run", {"layer.weight": ONES})])
    assert collected.shape("layer.weight") == (4, 4)
    with pytest.raises(ConversionError, match=r"no source has other\.weight"):
        collected.shape("other.weight")
    with pytest.raises(ConversionError, match=r"no source has layers\.0"):
        collected.num_layers("layers.")
