"""Save and load: bit for bit, in shards, under a variant's name, in another dtype, in a subfolder; by safetensors."""

import json

import pytest
import torch
from model_variants import FEW, FEW_FIRST, VARIANTS
from safetensors import safe_open
from safetensors.torch import load_file

from vlahub.configuration.transformers_release import RELEASE
from vlahub.errors import ConfigError

few = pytest.mark.parametrize("variant", FEW, indirect=True)
few_first = pytest.mark.parametrize("variant", FEW_FIRST, indirect=True)


def assert_same_weights(found, wanted):
    one, other = found.state_dict(), wanted.state_dict()
    assert one.keys() == other.keys()
    assert [key for key in one if one[key].dtype != other[key].dtype or not torch.equal(one[key], other[key])] == []


def weight_files(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".pt", ".h5"))


def config_of(folder):
    """What is in config.json; parts of a model that was never loaded have no dtype yet."""
    drop = {"dtype", "torch_dtype"}
    return json.loads(
        (folder / "config.json").read_text(),
        object_pairs_hook=lambda pairs: {name: value for name, value in pairs if name not in drop},
    )


@pytest.mark.newest
def test_what_is_saved_is_loaded_bit_for_bit(variant, saved, load):
    model = load()
    assert_same_weights(model, saved.model)
    assert torch.equal(variant.predict(model, variant.prediction()), saved.actions)
    assert not model.training and type(model) is variant.kind


def test_loading_reports_nothing_and_saving_again_writes_the_same_bytes(variant, saved, tmp_path):
    model, report = variant.kind.from_pretrained(saved.folder, output_loading_info=True)
    assert {"missing_keys", "unexpected_keys", "mismatched_keys"} <= report.keys() and not any(report.values())
    model.save_pretrained(tmp_path)
    name = "model.safetensors"
    assert (tmp_path / name).read_bytes() == (saved.folder / name).read_bytes()
    assert config_of(tmp_path) == config_of(saved.folder)


@pytest.mark.newest
@few_first
def test_shards_hold_each_weight_once_and_load_alike(variant, saved, tmp_path):
    saved.model.save_pretrained(tmp_path, max_shard_size="60KB")
    files = weight_files(tmp_path)
    assert len(files) > 2 and all(file.endswith(".safetensors") for file in files)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    held = {}
    for file in files:
        with safe_open(tmp_path / file, "pt") as shard:
            assert not held.keys() & shard.keys()
            held |= dict.fromkeys(shard.keys(), file)
            assert shard.metadata()["format"] == "pt"
    assert held == index["weight_map"] and held.keys() == load_file(saved.folder / "model.safetensors").keys()
    sizes = [value.nbytes for value in load_file(saved.folder / "model.safetensors").values()]
    assert index["metadata"]["total_size"] == sum(sizes)
    assert_same_weights(variant.kind.from_pretrained(tmp_path), saved.model)


def test_only_safetensors_are_written(saved):
    assert weight_files(saved.folder) == ["model.safetensors"]


@few
def test_a_variant_of_the_weights_is_found_by_its_name_alone(variant, saved, tmp_path):
    saved.model.save_pretrained(tmp_path, variant="best", max_shard_size="100KB")
    assert weight_files(tmp_path) and all(".best" in file for file in weight_files(tmp_path))
    assert_same_weights(variant.kind.from_pretrained(tmp_path, variant="best"), saved.model)
    with pytest.raises(OSError, match="model"):
        variant.kind.from_pretrained(tmp_path)


@few
@pytest.mark.parametrize(("name", "dtype"), [("dtype", torch.bfloat16), ("torch_dtype", "float16")])
def test_weights_load_in_the_wanted_dtype(variant, saved, name, dtype):
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    model = variant.kind.from_pretrained(saved.folder, **{name: dtype})
    assert model.dtype == wanted and {value.dtype for value in model.parameters()} == {wanted}
    assert all(
        torch.equal(value, saved.model.get_parameter(name).to(wanted)) for name, value in model.named_parameters()
    )


@few
def test_weights_of_half_precision_come_back_as_they_were_saved(variant, load, tmp_path):
    model = load(dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert_same_weights(variant.kind.from_pretrained(tmp_path, dtype="auto"), model)
    assert variant.kind.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16


@few
def test_a_subfolder_holds_a_whole_model(variant, saved, tmp_path):
    saved.model.save_pretrained(tmp_path / "first" / "last")
    assert_same_weights(variant.kind.from_pretrained(tmp_path, subfolder="first/last"), saved.model)


@few
def test_a_state_dict_of_the_callers_is_what_is_saved_and_loaded(variant, saved, tmp_path):
    doubled = {name: value * 2 for name, value in saved.model.state_dict().items()}
    saved.model.save_pretrained(tmp_path, state_dict=doubled)
    found = variant.kind.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(found[name], doubled[name]) for name in doubled)
    assert torch.equal(variant.predict(saved.model, variant.prediction()), saved.actions)


@few
@pytest.mark.skipif(
    RELEASE < (5, 15),
    reason="before 5.15 `is_main_process` is asked for before config.json and old shards, and not before weights",
)
def test_who_is_not_the_main_process_writes_no_weights(saved, tmp_path):
    saved.model.save_pretrained(tmp_path / "of_rank_1", is_main_process=False)
    assert not weight_files(tmp_path / "of_rank_1")


def changed(model, value):
    """The same model with other weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


@pytest.mark.newest
@few_first
@pytest.mark.parametrize("name", [None, "fp16"])
def test_what_was_saved_last_is_loaded_though_other_files_held_it_before(variant, load, name, tmp_path):
    """transformers leaves a file of all weights beside a new index, and loads that file."""
    model = load()
    for value, size in enumerate(["5GB", "60KB", "5GB", "60KB", "80KB"]):
        changed(model, value).save_pretrained(tmp_path, max_shard_size=size, variant=name)
        found = variant.kind.from_pretrained(tmp_path, variant=name)
        assert all((parameter == value).all() for parameter in found.parameters())
        assert len(list(tmp_path.glob("*.index*.json"))) == (size != "5GB")


@few_first
def test_shards_of_other_variants_outlive_a_save(variant, load, tmp_path):
    """transformers deletes shards whose names begin as that of what it writes."""
    model, names = load(), ["fp16b", "fp16", None]
    for value, name in enumerate([*names, *names]):
        changed(model, value).save_pretrained(tmp_path, variant=name, max_shard_size="60KB")
    for value, name in enumerate(names, 3):
        found = variant.kind.from_pretrained(tmp_path, variant=name)
        assert all((parameter == value).all() for parameter in found.parameters())
    assert not list(tmp_path.glob("kept-*"))


@few_first
def test_a_save_of_other_files_leaves_weights_where_they_are(variant, load, tmp_path):
    model = load()
    model.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"of somebody")
    there = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(("model", "pytorch"))}
    model.save_pretrained(tmp_path, is_main_process=False)
    model.save_pretrained(tmp_path, variant="fp16")
    model.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    assert {path: path.read_bytes() for path in there} == there


# Of what a config says after training, and parts of a model have been told when they were made.
SETTINGS = [
    *[("llava3d-flow", *each) for each in (("use_time_weight", False), ("time_sampling", "uniform"))],
    *[("composed-flow", *each) for each in (("use_time_weight", False), ("time_sampling", "uniform"))],
    *[(name, "prefix_attention", "causal") for name in ("llava3d-flow", "llava3d-dit", "llava3d-mistral-both")],
]


@pytest.mark.parametrize(
    ("variant", "field", "value"), [(VARIANTS[name], *rest) for name, *rest in SETTINGS], ids=map(str, SETTINGS)
)
def test_what_is_set_in_a_models_config_is_used_before_it_is_saved(variant, field, value, tmp_path):
    def outcome(model):
        torch.manual_seed(0)
        training = {name: each for name, each in variant.training().items() if name != "time"}
        loss = model(**training).loss.detach()
        return torch.cat([loss.view(1), variant.predict(model, variant.prediction()).flatten()])

    model = variant.model()
    before = outcome(model)
    assert getattr(model.config, field) != value
    setattr(model.config, field, value)
    found = outcome(model)
    assert not torch.equal(found, before)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(outcome(variant.kind.from_pretrained(tmp_path, dtype=torch.float32).eval()), found)


@pytest.mark.parametrize("name", ["llava3d-flow", "composed-flow"])
def test_times_of_a_distribution_that_there_is_not_are_refused_where_they_would_be_drawn(name):
    model, training = VARIANTS[name].model(), VARIANTS[name].training()
    model.config.time_sampling = "normal"
    with pytest.raises(ConfigError, match="time_sampling='normal' is unknown; choose from beta, uniform"):
        model(**{key: value for key, value in training.items() if key != "time"})
