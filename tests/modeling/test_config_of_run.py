"""Whose settings and statistics a model has that is loaded with the adapter of a run."""

import copy
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, PretrainedConfig

import vlahub
from vlahub.errors import ConfigError
from vlahub.modeling.adapter_loading import adapter_of
from vlahub.modeling.config_of_run import adapted_arguments, with_changes

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("adapters_of_transformers")]


@pytest.fixture(scope="module")
def adapter(family, family_checkpoint, tmp_path_factory):
    """The folder of an adapter, and the base's config; not to be changed."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    model.add_adapter(vlahub.lora_config(model, 2, 4))
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return SimpleNamespace(folder=folder, config=family.config.from_pretrained(family_checkpoint))


@pytest.fixture
def run(adapter, tmp_path):
    run = shutil.copytree(adapter.folder, tmp_path / "run")
    (run / "dataset_statistics.json").unlink(missing_ok=True)  # PEFT and older runs leave none
    return run


def of_class(family, folder, **kwargs):
    return family.model.from_pretrained(folder, dtype=torch.float32, **kwargs)


def of_auto(family, folder, **kwargs):
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, **kwargs)


loaders = pytest.mark.parametrize("load", [of_class, of_auto])


def of_run(config):
    """Statistics of the same dimensions, under another name and with other numbers."""
    (stats,) = json.loads(json.dumps(config.norm_stats)).values()
    shift = {"max": 3.0, "q99": 2.5, "mean": 0.5}
    for part in [content for content in stats.values() if isinstance(content, dict)]:
        for name in shift.keys() & part.keys():
            part[name] = (np.array(part[name]) + shift[name]).tolist()
    return {"of_this_run": stats}


def in_statistics(folder, config, statistics):
    (folder / "dataset_statistics.json").write_text(json.dumps(statistics))


def in_config(folder, config, statistics):
    kept = type(config).from_dict(config.to_dict() | {"norm_stats": statistics})
    (folder / "config.json").write_text(kept.to_json_string())


def in_processor(folder, config, statistics):
    (folder / "processor_config.json").write_text(json.dumps({"norm_stats": statistics}))


@loaders
@pytest.mark.parametrize("write", [in_statistics, in_config, in_processor])
def test_the_statistics_beside_an_adapter_are_what_its_model_answers_by(family, adapter, run, load, write):
    if getattr(adapter.config, "normalization_type", None) is None:
        pytest.skip("it normalises by numbers of its own")
    statistics = of_run(adapter.config)
    write(run, adapter.config, statistics)
    assert load(family, run).config.norm_stats == statistics != adapter.config.norm_stats


@loaders
def test_what_a_caller_changes_stays_and_all_else_is_of_the_run(family, adapter, run, load):
    field = "num_inference_steps" if adapter.config.draws_noise else "num_diffusion_steps"
    fields = adapter.config.to_dict() | {field: 7, "quantization_config": {"quant_method": "fp8"}}
    (run / "config.json").write_text(json.dumps(fields | {"stop_grad_from_vlm": True, "pad_token_id": 1}))
    model = load(family, run, **{field: 5})
    assert getattr(model.config, field) == 5 and model.config.pad_token_id == 1
    assert getattr(load(family, run).config, field) == 7
    given = family.config.from_dict(adapter.config.to_dict() | {field: 11})
    assert getattr(load(family, run, config=given).config, field) == 11


def test_an_adapter_alone_leaves_the_arguments_as_they_are(family, run):
    found = adapter_of(run, {})
    kwargs = {"dtype": torch.float32}
    assert adapted_arguments(family.config, found, kwargs) is kwargs


@loaders
def test_statistics_of_other_dimensions_are_refused(family, adapter, run, load):
    if getattr(adapter.config, "normalization_type", None) is None:
        pytest.skip("it normalises by numbers of its own")
    statistics = of_run(adapter.config)
    statistics["of_this_run"]["action"] = {name: [0.0] for name in ("min", "max", "q01", "q99", "mean", "std")}
    in_statistics(run, adapter.config, statistics)
    with pytest.raises(ConfigError, match=r"norm_stats\['of_this_run'\]\['action'\]"):
        load(family, run)


def test_a_base_of_another_revision_than_the_auto_class_found_brings_its_own_config(family, adapter, monkeypatch, run):
    field = "num_inference_steps" if adapter.config.draws_noise else "num_diffusion_steps"
    at = {"v3": {field: 9}, None: {}}

    def read(place, revision=None, **fields):
        assert (place, fields) == ("user/base", {})
        return family.config.from_dict(adapter.config.to_dict() | at[revision])

    written = json.loads((run / "adapter_config.json").read_text())
    (run / "adapter_config.json").write_text(
        json.dumps(written | {"base_model_name_or_path": "user/base", "revision": "v3"})
    )
    found = adapter_of("user/base", {"revision": None, "adapter_kwargs": {"_adapter_model_path": str(run)}})
    assert (found.base, found.base_files) == ("user/base", {"revision": "v3"})
    with monkeypatch.context() as patched:
        patched.setattr(family.config, "from_pretrained", read)
        arguments = adapted_arguments(family.config, found, {"config": read("user/base")})
    assert getattr(arguments["config"], field) == 9


def test_with_changes_takes_nothing_that_is_said_of_weights(family, adapter):
    after = family.config.from_dict(adapter.config.to_dict() | {"dtype": "float16"})
    assert with_changes(adapter.config, adapter.config, after).to_dict() == adapter.config.to_dict()


def test_of_a_nested_config_each_field_is_the_callers_or_the_runs(family, adapter):
    """Both change the same parts, and in these other fields."""
    found = [name for name in adapter.config.to_dict() if isinstance(getattr(adapter.config, name), PretrainedConfig)]
    parts = [name for name in found if hasattr(getattr(adapter.config, name), "initializer_range")]
    assert parts
    given, after = (copy.deepcopy(adapter.config) for _ in range(2))
    for name in parts:
        getattr(given, name).my_word, getattr(given, name).initializer_range = "mine", 0.5
        getattr(after, name).of_the_run, getattr(after, name).initializer_range = "its", 0.25
    config = with_changes(given, adapter.config, after)
    for name in parts:
        part = getattr(config, name)
        assert (part.my_word, part.of_the_run, part.initializer_range) == ("mine", "its", 0.5)
        assert not hasattr(getattr(given, name), "of_the_run")
