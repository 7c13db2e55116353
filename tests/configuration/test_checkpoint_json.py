"""JSON files of checkpoints that somebody else wrote: a broken one is named, and an index leads nowhere else."""

import itertools
import json
import re
from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from tiny_configs import cogvla_config, composed_config, llava3d_config

import vlahub
from vlahub.configuration.card_weights import stored_tensors
from vlahub.configuration.checkpoint_json import (
    files_of_index,
    in_one_line,
    is_file,
    is_there,
    read_mapping,
    reading_fields,
    reading_files,
)
from vlahub.errors import CheckpointError, ConfigError
from vlahub.modeling.base_tensors import BaseTensors

INDEX = "model.safetensors.index.json"
BROKEN = {
    "nothing": b"",
    "cut off": b'{"a": [1, 2',
    "no UTF-8": b'{"a": "\xff"}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "a list": b"[1]",
    "null": b"null",
}
PLACES = ("../other.safetensors", "ABSOLUTE", "missing", "", ".", "\0", "\ud800", 5, None, ["x"])
READERS = {
    "index": lambda folder: files_of_index(folder / INDEX),
    "base": lambda folder: BaseTensors(folder, lambda key: key),
    "card": stored_tensors,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_mapping(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_mapping(tmp_path / "config.json")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("place", PLACES)
def test_an_index_leads_to_files_beside_it_alone(place, reader, tmp_path):
    folder, other = tmp_path / "checkpoint", tmp_path / "other.safetensors"
    folder.mkdir()
    for path in (folder / "one.safetensors", other):
        save_file({"a": torch.ones(2)}, path)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert reader(folder)
    place = str(other) if place == "ABSOLUTE" else place
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": place}}))
    with pytest.raises(CheckpointError, match="names the file"):
        reader(folder)


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": ["one"]}, {"weight_map": None}])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_an_index_without_a_map_is_refused(content, reader, tmp_path):
    (tmp_path / INDEX).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="weight_map"):
        reader(tmp_path)


def test_a_card_names_a_damaged_file_of_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        stored_tensors(tmp_path)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConfigError("a"), True),
        (FileNotFoundError("a"), True),
        (MemoryError("a"), True),
        (KeyError("a\n  b"), False),
        (ValueError("a\n  b"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_library_raises_over_a_file_or_a_field_names_it_once(error, passes):
    """An error that says what to do, and one of a missing file or of memory, is no fault of a value."""
    of_field = passes and not isinstance(error, OSError)
    for reading, stays, words in (
        (reading_files("PLACE", "config"), passes, "the config in PLACE cannot be read: "),
        (reading_fields("text_config"), of_field, "text_config has a value that its config cannot have: "),
    ):
        with pytest.raises(Exception) as found, reading:
            raise error
        assert (found.value is error) == stays
        assert stays or (str(found.value) == words + in_one_line(error) and found.value.__cause__ is error)
    assert (
        in_one_line(KeyError("a\n b")) == r"KeyError: 'a\n b'" and in_one_line(ValueError("a\n b")) == "ValueError: a b"
    )


def test_files_and_what_is_there_are_told_apart(tmp_path):
    (tmp_path / "file").write_text("")
    odd = tmp_path / "\0"
    assert is_file(tmp_path / "file") and is_there(tmp_path / "file") and not is_there(tmp_path / "none")
    assert is_there(tmp_path) and not is_file(tmp_path) and not is_file(odd) and not is_there(odd)


def test_an_index_names_each_file_once_and_in_order(tmp_path):
    for name in ("b", "a"):
        save_file({"x": torch.ones(2)}, tmp_path / name)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"x": "b", "y": "a", "z": "b"}}))
    assert files_of_index(tmp_path / INDEX) == [tmp_path / "a", tmp_path / "b"]


CONFIGS = {
    "cogvla": (cogvla_config, ("text_config", "featurizer_config", "fused_featurizer_config")),
    "mapanything_llava3d": (
        partial(llava3d_config, action_expert_type="dit"),
        ("text_config", "vision_config", "expert_config", "geometry_config", "dit_config"),
    ),
    "multimodal_vla": (composed_config, ("text_config", "vision_config", "expert_config")),
    "alpamayo_r1": (vlahub.AlpamayoR1Config, ("vlm_config", "expert_config")),
}
NESTED = [(family, field) for family, (_, fields) in CONFIGS.items() for field in fields]
ODD_VALUES = ("wide", None, -1, 0.5, [2], {"a": 1}, True, 10**30)
COUNTED = {"num_hidden_layers", "num_layers", "num_labels", "depth"}  # configs hold a list of so many entries


@pytest.mark.parametrize(("family", "field"), NESTED)
def test_what_no_config_can_have_is_named_with_its_field(family, field, tmp_path):
    config = CONFIGS[family][0]()
    fields = config.to_dict()
    fields[field]["id2label"] = {"new": "a"}
    with pytest.raises(ConfigError, match=f"{type(getattr(config, field)).__name__}|{field}"):
        type(config)(**{field: fields[field]})
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ConfigError, match=f"{type(getattr(config, field)).__name__}|{field}"):
        type(config).from_pretrained(tmp_path)


@pytest.mark.parametrize("value", [2**21, 1e9, 10**30, float("inf")])
@pytest.mark.parametrize(("family", "field"), NESTED)
def test_a_size_beyond_all_memory_is_refused_before_there_is_a_list_of_it(family, field, value, tmp_path):
    config = CONFIGS[family][0]()
    for name in COUNTED & (config.to_dict()[field].keys() | {"num_labels"}):
        fields = config.to_dict()
        fields[field][name] = value
        (tmp_path / "config.json").write_text(json.dumps(fields))
        with pytest.raises(ConfigError, match=rf"{name}={re.escape(repr(value))} is larger than any model can use"):
            type(config)(**{field: fields[field]})
        with pytest.raises(ConfigError, match=rf"{name}={re.escape(repr(value))} is larger than any model can use"):
            type(config).from_pretrained(tmp_path)


@pytest.mark.parametrize(("family", "field"), NESTED)
def test_odd_values_of_a_nested_config_are_refused_by_name_or_do_no_harm(family, field):
    """Two of them for each field in turn."""
    config = CONFIGS[family][0]()
    given = config.to_dict()[field]
    values, refused = itertools.cycle(ODD_VALUES), []
    for name in given:
        for value in (next(values), next(values)):
            try:
                type(config)(**{field: given | {name: value}})
            except ConfigError as error:
                refused.append(str(error))
    assert refused and all(refused)
