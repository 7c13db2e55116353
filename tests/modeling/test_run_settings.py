"""Whose statistics and views a model has that an adapter was loaded into: those of the adapter's run."""

import copy
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForImageTextToText, GenerationConfig

import vlahub
from vlahub.errors import CheckpointError, ConfigError
from vlahub.modeling import run_settings
from vlahub.modeling.generation_settings import GENERATION, apply_generation, end_tokens
from vlahub.modeling.run_settings import PROCESSOR, STATISTICS, VIEWS, recorded

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("adapters_of_transformers")]
TAUGHT = 9  # what ends the texts of the run, and not those of its base


def views_of(config, word="camera"):
    return [f"{word}{number}" for number in range(config.num_images_in_input or 2)]


def scaled(norm_stats, name, factor=7.0):
    """Statistics of other data: of the same dimensions, in other units."""
    (stats,) = copy.deepcopy(dict(norm_stats)).values()
    for part in (content for content in stats.values() if isinstance(content, dict)):
        for key in part.keys() - {"mask"}:
            part[key] = [factor * value for value in part[key]]
    return {name: stats}


@pytest.fixture(scope="module")
def trained(family, family_checkpoint, tmp_path_factory):
    """The config of a model that was trained on other data than its base, its adapter's folder, the base's config."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    processor = family.processor.from_pretrained(family_checkpoint)
    base = copy.deepcopy(model.config)
    if base.normalization_type is not None:
        model.config.norm_stats = processor.norm_stats = scaled(base.norm_stats, "mine")
    model.config.view_names = processor.view_names = views_of(base)
    known = end_tokens(model.generation_config.eos_token_id)
    model.generation_config.eos_token_id = [*known, TAUGHT]
    model.add_adapter(vlahub.lora_config(model, 2, 4))
    folder = tmp_path_factory.mktemp("run")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return SimpleNamespace(config=model.config, folder=folder, base=base, ends=[*known, TAUGHT])


def by_its_class(family, place, folder, **kwargs):
    return family.model.from_pretrained(folder, dtype=torch.float32, **kwargs)


def by_auto_class(family, place, folder, **kwargs):
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, **kwargs)


def into_its_base(family, place, folder):
    model = family.model.from_pretrained(place, dtype=torch.float32)
    model.load_adapter(str(folder))
    return model


def assert_of_run(config, run):
    assert config.norm_stats == run.config.norm_stats and config.view_names == run.config.view_names


@pytest.mark.parametrize("load", [by_its_class, by_auto_class, into_its_base])
@pytest.mark.parametrize("lacks", [(), (STATISTICS, VIEWS), (PROCESSOR,)])
def test_an_adapter_brings_the_statistics_and_views_of_its_run(
    family, family_checkpoint, trained, load, lacks, tmp_path
):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    for name in lacks:
        (folder / name).unlink(missing_ok=True)
    config = load(family, family_checkpoint, folder).config
    assert_of_run(config, trained)
    assert config.view_names != trained.base.view_names
    if config.normalization_type is not None:
        assert config.norm_stats != trained.base.norm_stats


def test_the_statistics_lie_beside_an_adapter_that_a_model_saves(family, trained):
    is_there = (trained.folder / STATISTICS).is_file()
    assert is_there == (trained.config.normalization_type is not None)
    if is_there:
        assert json.loads((trained.folder / STATISTICS).read_text()) == trained.config.norm_stats


def test_names_of_views_go_where_a_model_without_any_is_saved(family, trained, tmp_path):
    model = family.model.from_pretrained(trained.folder, dtype=torch.float32)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / VIEWS).read_text()) == {"view_names": trained.config.view_names}
    model.config.view_names = None
    model.save_pretrained(tmp_path)
    assert not (tmp_path / VIEWS).exists()


@pytest.mark.parametrize("load", [by_its_class, by_auto_class, into_its_base])
def test_a_model_with_an_adapter_stops_where_the_texts_of_its_run_end(family, family_checkpoint, trained, load):
    model = load(family, family_checkpoint, trained.folder)
    assert model.generation_config.eos_token_id == trained.ends
    assert family.model.from_pretrained(family_checkpoint).generation_config.eos_token_id != trained.ends


def test_a_model_stops_where_the_texts_of_each_of_its_adapters_end():
    own = GenerationConfig(eos_token_id=1, max_new_tokens=3)
    model = SimpleNamespace(peft_config={"first": 0, "second": 0}, generation_config=own, can_generate=lambda: True)
    apply_generation(model, GenerationConfig(eos_token_id=[1, 2], max_new_tokens=5), "second")
    apply_generation(model, None, "third")  # of a run before such files were written
    found = model.generation_config
    assert (found.eos_token_id, found.max_new_tokens) == ([1, 2], 3)


@pytest.mark.parametrize("load", [by_its_class, by_auto_class])
def test_a_model_stops_where_the_caller_says(family, family_checkpoint, trained, load):
    asked = GenerationConfig(eos_token_id=[5, 6], max_new_tokens=3)
    found = load(family, family_checkpoint, trained.folder, generation_config=asked).generation_config
    assert (found.eos_token_id, found.max_new_tokens) == ([5, 6], 3)


@pytest.mark.parametrize(
    "content", ['{"eos_token_id": "two"}', '{"eos_token_id": [1, [2]]}', '{"top_p": NaN}', "[", "[]"]
)
def test_settings_of_writing_that_cannot_be_are_named_before_an_adapter_is_loaded(
    content, family, family_checkpoint, trained, tmp_path
):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    (folder / GENERATION).write_text(content)
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    with pytest.raises(CheckpointError, match=GENERATION):
        model.load_adapter(str(folder))
    assert not model._hf_peft_config_loaded


@pytest.mark.parametrize("load", [by_its_class, by_auto_class])
def test_what_the_caller_asks_for_wins(family, family_checkpoint, trained, load):
    asked = {"view_names": views_of(trained.base, "asked")}
    if trained.base.normalization_type is not None:
        asked["norm_stats"] = scaled(trained.base.norm_stats, "asked", 3.0)
    config = load(family, family_checkpoint, trained.folder, **asked).config
    assert {name: getattr(config, name) for name in asked} == asked


def other_run(trained, folder):
    """The same adapter, of a run on other data."""
    shutil.copytree(trained.folder, folder)
    path = folder / VIEWS
    changed = json.loads(path.read_text()) | {"view_names": views_of(trained.base, "other")}
    path.write_text(json.dumps(changed))
    return folder


def test_two_adapters_of_different_runs_are_refused_before_the_second_is_loaded(family, trained, tmp_path):
    model = family.model.from_pretrained(trained.folder, dtype=torch.float32)
    other = other_run(trained, tmp_path / "other")
    with pytest.raises(ConfigError, match=r"other view_names \(other0.*its adapter default \(camera0"):
        model.load_adapter(str(other), "second")
    assert set(model.peft_config) == {"default"}
    assert_of_run(model.config, trained)


def test_statistics_that_do_not_fit_are_refused_with_the_adapter_s_name(family, family_checkpoint, trained, tmp_path):
    if trained.base.normalization_type is None:
        pytest.skip("it normalises by numbers of its own")
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    (folder / STATISTICS).write_text(json.dumps({"short": {"action": {"q01": [0.0], "q99": [1.0]}}}))
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    with pytest.raises(ConfigError, match=r"run, whose adapter .* norm_stats\['short'\]"):
        model.load_adapter(str(folder))
    assert not model._hf_peft_config_loaded and model.config.norm_stats == trained.base.norm_stats


def test_an_adapter_without_statistics_leaves_the_model_s_and_says_so(
    family, family_checkpoint, trained, tmp_path, monkeypatch
):
    for path in trained.folder.glob("adapter_*"):
        shutil.copy(path, tmp_path)
    said = []
    monkeypatch.setattr(run_settings.logger, "warning", lambda text, *values: said.append(text % values))
    model = into_its_base(family, family_checkpoint, tmp_path)
    assert model.config.norm_stats == trained.base.norm_stats
    assert [f"in the units of {', '.join(model.config.norm_stats)}" in text for text in said] == [True] * bool(
        model.config.norm_stats
    )


def test_a_hub_that_does_not_answer_is_no_run_without_statistics(monkeypatch):
    asked = []
    monkeypatch.setattr(run_settings, "cached_file", lambda place, name, **how: asked.append(how))
    monkeypatch.setattr(run_settings.constants, "HF_HUB_OFFLINE", False)
    assert recorded("user/run", {"revision": "v1"}) == (None, None)
    assert [(how["revision"], how["_raise_exceptions_for_connection_errors"]) for how in asked] == [("v1", True)] * 3
    recorded("user/run", {"local_files_only": True})
    assert not asked[-1]["_raise_exceptions_for_connection_errors"]
