"""A folder's weights are those that transformers reads, and no folder has two sets of them."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText, BertConfig, BertModel

from vlahub.configuration.card_weights import stored_tensors
from vlahub.configuration.checkpoint_weights import entry_of_weights, with_variant
from vlahub.conversion.folders.folder_contents import look_at
from vlahub.conversion.inspection.places import open_place
from vlahub.conversion.inspection.weights import read_weights
from vlahub.conversion.tensors.tensor_source import open_checkpoint
from vlahub.errors import CheckpointError
from vlahub.modeling.base_tensors import BaseTensors

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
BESIDE = [  # what transformers reads comes first
    (SAFE,),
    (SAFE_INDEX,),
    (PICKLED,),
    (PICKLED_INDEX,),
    (SAFE, PICKLED),
    (SAFE, PICKLED_INDEX),
    (SAFE_INDEX, PICKLED),
    (SAFE_INDEX, PICKLED_INDEX),
]
READERS = {
    "config": entry_of_weights,
    "card": stored_tensors,
    "base": lambda folder: BaseTensors(folder, lambda key: key),
    "conversion": lambda folder: open_checkpoint(folder, "base"),
    "model": AutoModelForImageTextToText.from_pretrained,
}


@pytest.fixture(scope="module")
def bert():
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    return BertModel(BertConfig(vocab_size=9, max_position_embeddings=8, **sizes))


def write(name, tensors, folder):
    """Weights in a file, or behind an index."""
    shard = name if name in (SAFE, PICKLED) else name.replace(".", "-00001-of-00001.", 1).removesuffix(".index.json")
    save = save_file if ".safetensors" in name else torch.save
    options = {"metadata": {"format": "pt"}} if save is save_file else {}
    save(tensors, folder / shard, **options)
    if shard != name:
        (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(tensors, shard)}))


@pytest.mark.parametrize("names", BESIDE, ids=" and ".join)
def test_the_weights_are_those_that_transformers_reads(names, bert, tmp_path):
    bert.config.save_pretrained(tmp_path)
    for number, name in enumerate(names):
        write(name, {key: torch.full_like(value, number) for key, value in bert.state_dict().items()}, tmp_path)
    assert not BertModel.from_pretrained(tmp_path).pooler.dense.weight.any()
    assert entry_of_weights(tmp_path).name == look_at(tmp_path).weights[0] == names[0]
    group = open_checkpoint(tmp_path, "base")
    assert not group.file_of["pooler.dense.weight"].load("pooler.dense.weight").any()
    if "safetensors" in names[0]:
        assert not BaseTensors(tmp_path, lambda key: key)["pooler.dense.weight"].any()
        with open_place(str(tmp_path)) as place:
            found = read_weights(place)
        assert {tensor.file for tensor in found.tensors} == {file.path.name for file in group.files}
        assert {tensor.file for tensor in stored_tensors(tmp_path)} == set(found.files) and not found.problems


@pytest.fixture
def twice(family_checkpoint, tmp_path):
    """A checkpoint that holds another set of weights behind an index."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(family_checkpoint, folder)
    assert (folder / SAFE).is_file()
    write(SAFE_INDEX, {"a": torch.ones(2)}, folder)
    return folder


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_two_sets_of_weights_are_refused_by_all_who_read_them(reader, twice):
    with pytest.raises(CheckpointError, match=f"holds weights twice, in {SAFE} and in the files that {SAFE_INDEX}"):
        reader(twice)
    (twice / SAFE_INDEX).unlink()
    assert reader(twice)


@pytest.mark.parametrize("shards", [{"a": "missing.safetensors"}, {"a": SAFE, "b": "other"}, {}, [], "text"], ids=str)
def test_an_index_of_other_files_or_of_none_is_a_second_set(shards, tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / SAFE)
    (tmp_path / SAFE_INDEX).write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(CheckpointError, match="holds weights twice"):
        entry_of_weights(tmp_path)


def test_an_index_of_the_one_file_is_no_second_set(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / SAFE)
    (tmp_path / SAFE_INDEX).write_text(json.dumps({"weight_map": {"a": SAFE}}))
    assert entry_of_weights(tmp_path) == tmp_path / SAFE
    assert [tensor.name for tensor in stored_tensors(tmp_path)] == list(open_checkpoint(tmp_path, "base")) == ["a"]


def test_an_inspection_shows_what_is_read_and_says_that_there_is_more(twice):
    with open_place(str(twice)) as place:
        found = read_weights(place)
    assert found.files == [SAFE] and any("holds weights twice" in problem for problem in found.problems)


def test_two_sets_of_one_variant_are_refused_where_it_is_loaded(twice, family):
    names = {name: with_variant(name, "fp16") for name in (SAFE, SAFE_INDEX)}
    for name, other in names.items():
        (twice / name).rename(twice / other)
    assert names == {SAFE: "model.fp16.safetensors", SAFE_INDEX: "model.safetensors.index.fp16.json"}
    with pytest.raises(CheckpointError, match=r"holds weights twice, in model\.fp16\.safetensors"):
        AutoModelForImageTextToText.from_pretrained(twice, variant="fp16")
