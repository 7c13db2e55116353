"""An adapter of a training knows which weights it was trained beside: others are refused."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import transformers
from base_statistics import statistics_of
from model_variants import FEW, VARIANTS, randomized
from peft import get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText, TrainingArguments

import vlahub
from vlahub.conversion.cli import main
from vlahub.errors import CheckpointError, ConfigError
from vlahub.modeling import base_weights
from vlahub.modeling.base_weights import Weights, difference, recorded_base, weights_in_folder

RECORD = "base_weights.json"


@pytest.fixture(params=FEW, scope="module")
def trained(request, tmp_path_factory):
    """A folder with `base` and the `run` of an adapter of it; not to be changed."""
    variant, place = VARIANTS[request.param], tmp_path_factory.mktemp("trained")
    config = variant.make()
    config.freeze_language_model = False
    model = randomized(variant.kind._from_config(config))
    model.save_pretrained(place / "base")
    loaded = variant.kind.from_pretrained(place / "base")
    trainer_of(get_peft_model(loaded, vlahub.lora_config(loaded, 2, 4)), place / "run").save_model()
    return variant, place


@pytest.fixture
def copied(trained, tmp_path):
    """The same, to be changed."""
    variant, place = trained
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.copytree(place / "base", tmp_path / "base")
    path = tmp_path / "run" / "adapter_config.json"
    path.write_text(path.read_text().replace(str(place), str(tmp_path)))
    return variant, tmp_path


def trainer_of(model, folder):
    arguments = TrainingArguments(str(folder), report_to="none", use_cpu=True, remove_unused_columns=False)
    return vlahub.VLATrainer(model, arguments)


def change(folder, made=lambda value: value * 1.02, of="model.safetensors"):
    weights = load_file(folder / of)
    save_file({name: made(value) for name, value in weights.items()}, folder / of, {"format": "pt"})


def edit_record(folder, **fields):
    content = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(content | fields))


def other_adapter(folder):
    """Another one of the same base: with other numbers, which are not 0."""
    change(folder, lambda value: value + 0.1, of="adapter_model.safetensors")
    edit_record(folder, adapter=base_weights.mark_of_adapter(folder))


def merge(place, *more):
    sources = ["--base", str(place / "base"), "--adapter", str(place / "run"), "--output", str(place / "out")]
    return main(["merge-lora", *sources, "--quiet", *statistics_of(place / "base"), *more])


def loaded(variant, place):
    return variant.kind.from_pretrained(place / "run")


def test_an_adapter_goes_into_the_base_that_it_was_trained_beside(trained, tmp_path, capsys, caplog):
    variant, place = trained
    assert recorded_base(place / "run")[:2] == weights_in_folder(place / "base")[:2]
    loaded(variant, place)
    shutil.copytree(place, tmp_path / "moved")
    assert merge(tmp_path / "moved") == 0
    said = capsys.readouterr().err + caplog.text
    assert "trained beside" not in said and "does not have" not in said
    assert not (tmp_path / "moved" / "out" / RECORD).exists()


def test_another_base_of_the_same_name_is_refused(copied, capsys):
    variant, place = copied
    change(place / "base")
    assert merge(place) == 1
    said = capsys.readouterr().err
    assert "is another model than" in said and "tensors that the adapter was trained beside" in said
    assert not (place / "out").exists()
    with pytest.raises(ConfigError, match="is an adapter of other weights than those of"):
        loaded(variant, place)
    (place / "run" / RECORD).unlink()
    loaded(variant, place)
    assert merge(place) == 0


def test_a_model_that_refuses_the_adapter_of_another_is_as_before(copied):
    variant, place = copied
    change(place / "base")
    model = variant.kind.from_pretrained(place / "base")
    with pytest.raises(ConfigError, match="of other weights"):
        model.load_adapter(str(place / "run"))
    assert not model._hf_peft_config_loaded and not any("lora" in name for name, _ in model.named_parameters())


@pytest.mark.skipif(transformers.__version__.startswith("4."), reason="4.57 swaps no adapters")
def test_a_model_that_refuses_to_swap_an_adapter_keeps_the_one_before(copied, tmp_path):
    variant, place = copied
    model = variant.kind.from_pretrained(place / "base")
    model.load_adapter(str(place / "run"))
    before = {name: value.clone() for name, value in model.named_parameters()}
    shutil.copytree(place / "base", tmp_path / "other")
    change(tmp_path / "other")
    other = variant.kind.from_pretrained(tmp_path / "other")
    trainer_of(get_peft_model(other, vlahub.lora_config(other, 2, 4)), tmp_path / "of_other").save_model()
    with pytest.raises(ConfigError, match="of other weights"):
        model.load_adapter(str(tmp_path / "of_other"), "default", hotswap=True)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_same_base_in_other_files_and_another_dtype_is_taken(copied, dtype, capsys, caplog):
    variant, place = copied
    model = variant.kind.from_pretrained(place / "base", dtype=dtype)
    (place / "base" / "model.safetensors").unlink()
    model.save_pretrained(place / "base", max_shard_size="20KB")
    assert len(list((place / "base").glob("model-*.safetensors"))) > 1
    loaded(variant, place)
    assert merge(place, "--dry-run") == 0
    if dtype is torch.bfloat16:  # rounding twice may differ from rounding once: a warning then, and no more
        assert "does not have" not in capsys.readouterr().err + caplog.text


def test_a_base_that_holds_other_adapters_is_taken(copied, capsys):
    variant, place = copied
    other_adapter(place / "run")
    assert merge(place) == 0
    shutil.rmtree(place / "base")
    (place / "out").rename(place / "base")
    other_adapter(place / "run")
    assert recorded_base(place / "run") != weights_in_folder(place / "base")
    loaded(variant, place)
    assert merge(place) == 0 and "does not have" not in capsys.readouterr().err


def test_the_weights_of_a_subfolder_are_meant_where_a_model_was_loaded_from_it(copied):
    variant, place = copied
    shutil.copytree(place / "base", place / "two" / "part")
    shutil.copytree(place / "base", place / "two", dirs_exist_ok=True)
    change(place / "two")
    model = variant.kind.from_pretrained(place / "two", subfolder="part")
    model.load_adapter(str(place / "run"))
    model = variant.kind.from_pretrained(place / "two", subfolder="part")
    trainer_of(get_peft_model(model, vlahub.lora_config(model, 2, 4)), place / "new").save_model()
    assert recorded_base(place / "new")[:2] == weights_in_folder(place / "base")[:2]
    with pytest.raises(ConfigError, match="of other weights"):
        variant.kind.from_pretrained(place / "two").load_adapter(str(place / "new"))


@pytest.fixture
def repository(copied, monkeypatch):
    """In a cache: `v1`, which the base is, and another as `main`. The arguments that say where, and its folders."""
    variant, place = copied
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub._is_offline_mode", True, raising=False)  # of 4.57
    folder, commits = place / "cache" / "models--you--vla", {"v1": "a" * 40, "main": "b" * 40}
    (folder / "refs").mkdir(parents=True)
    for name, commit in commits.items():
        (folder / "refs" / name).write_text(commit)
        shutil.copytree(place / "base", folder / "snapshots" / commit)
    change(folder / "snapshots" / commits["main"])
    path = place / "run" / "adapter_config.json"
    fields = {"base_model_name_or_path": "you/vla", "revision": "v1"}
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    where = {"cache_dir": str(place / "cache"), "local_files_only": True}
    return variant, place, where, {name: folder / "snapshots" / commit for name, commit in commits.items()}


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
@pytest.mark.parametrize("is_main_there", [True, False])
def test_the_weights_of_a_revision_are_meant_where_a_model_was_loaded_from_it(repository, is_main_there):
    variant, place, where, folders = repository
    if is_main_there:
        with pytest.raises(ConfigError, match="of other weights"):
            variant.kind.from_pretrained("you/vla", **where).load_adapter(str(place / "run"))
    else:
        (place / "cache" / "models--you--vla" / "refs" / "main").unlink()
    model = variant.kind.from_pretrained("you/vla", revision="v1", **where)
    assert base_weights.folder_of(model).samefile(folders["v1"])
    model.load_adapter(str(place / "run"))
    model = variant.kind.from_pretrained("you/vla", revision="v1", **where)
    trainer_of(get_peft_model(model, vlahub.lora_config(model, 2, 4)), place / "new").save_model()
    assert recorded_base(place / "new")[:2] == weights_in_folder(folders["v1"])[:2]


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_a_config_of_another_revision_does_not_bring_its_weights(repository):
    variant, place, where, folders = repository
    wanted = load_file(folders["v1"] / "model.safetensors")
    config = AutoConfig.from_pretrained("you/vla", **where)
    for kind, given in ((variant.kind, {}), (variant.kind, {"config": config}), (AutoModelForImageTextToText, {})):
        model = kind.from_pretrained(str(place / "run"), **where, **given)
        found = {name.replace(".base_layer.", "."): value for name, value in model.state_dict().items()}
        same = found.keys() & wanted.keys()
        assert len(same) > 20 and all(torch.equal(found[name], wanted[name]) for name in same)


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_weights_that_were_changed_in_memory_are_not_those_of_a_folder(copied):
    variant, place = copied
    model = variant.kind.from_pretrained(place / "base")
    assert base_weights.weights_beside(model) is not None
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.dim() == 2).mul_(1.5)
    assert base_weights.weights_beside(model) is None
    trainer_of(get_peft_model(model, vlahub.lora_config(model, 2, 4)), place / "new").save_model()
    assert not (place / "new" / RECORD).exists()


def test_parts_that_an_adapter_replaces_whole_may_be_others_in_the_base(copied, capsys, caplog):
    variant, place = copied
    held = recorded_base(place / "run").replaced
    assert held
    weights = load_file(place / "base" / "model.safetensors")
    changed = {name: value + 0.5 if name in held else value for name, value in weights.items()}
    save_file(changed, place / "base" / "model.safetensors", {"format": "pt"})
    loaded(variant, place)
    assert merge(place, "--dry-run") == 0
    assert "does not have" not in capsys.readouterr().err + caplog.text


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_a_model_that_was_made_of_a_config_alone_has_no_weights_to_record(trained, tmp_path):
    variant, place = trained
    model = variant.kind(AutoConfig.from_pretrained(place / "base"))
    assert model.name_or_path and base_weights.folder_of(model) is None
    trainer_of(get_peft_model(model, vlahub.lora_config(model, 2, 4)), tmp_path / "run").save_model()
    assert not (tmp_path / "run" / RECORD).exists()


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
@pytest.mark.parametrize("given", ["variant", "state_dict"])
def test_of_other_weights_than_those_of_a_folder_nothing_is_recorded(given, copied):
    variant, place = copied
    others = variant.kind.from_pretrained(place / "base")
    if given == "variant":
        others.save_pretrained(place / "base", variant="best")
        change(place / "base", of="model.best.safetensors")
        model = variant.kind.from_pretrained(place / "base", variant="best")
    else:
        tensors = {name: value * 1.02 for name, value in others.state_dict().items()}
        config = AutoConfig.from_pretrained(place / "base")
        model = variant.kind.from_pretrained(None, config=config, state_dict=tensors)
    assert base_weights.folder_of(model) is None
    model.load_adapter(str(place / "run"))  # of whose base nobody knows whether it is this one


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_what_may_be_another_base_is_warned_of(copied, capsys, caplog):
    variant, place = copied
    change(place / "base")
    edit_record(place / "run", dtypes=["F16"])
    loaded(variant, place)
    assert "may be an adapter of another model" in caplog.text
    assert merge(place) == 0 and "does not have" in capsys.readouterr().err


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_a_second_adapter_may_have_been_trained_on_what_the_first_was_merged_into(copied, capsys):
    _, place = copied
    shutil.copytree(place / "run", place / "first")
    (place / "first" / RECORD).unlink()
    change(place / "first", of="adapter_model.safetensors")
    change(place / "base")
    sources = ["--base", str(place / "base"), "--adapter", str(place / "first"), "--adapter", str(place / "run")]
    options = [*statistics_of(place / "base"), "--output", str(place / "out"), "--quiet", "--dry-run"]
    assert main(["merge-lora", *sources, *options]) == 0
    assert "does not have" in capsys.readouterr().err


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_a_record_is_of_the_adapter_that_it_lies_beside(copied):
    _, place = copied
    change(place / "run", of="adapter_model.safetensors")
    assert recorded_base(place / "run") is None


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
def test_what_is_saved_in_the_place_of_an_adapter_takes_its_record_along(trained, tmp_path):
    variant, place = trained
    folder = shutil.copytree(place / "run", tmp_path / "run")
    model = get_peft_model(variant.model(), vlahub.lora_config(variant.model(), 2, 4))  # of no files
    trainer_of(model, folder).save_model()
    assert not (folder / RECORD).exists()
    folder = shutil.copytree(place / "run", tmp_path / "replaced")
    variant.model().save_pretrained(folder)
    assert not (folder / RECORD).exists() and (folder / "_replaced_adapter" / RECORD).is_file()


@pytest.mark.parametrize("trained", FEW[:1], indirect=True)
@pytest.mark.parametrize("tensors", [None, ["a"], {"a": 1}])
def test_a_record_that_is_none_is_refused(copied, tensors):
    _, place = copied
    (place / "run" / RECORD).write_text(json.dumps({"tensors": tensors}))
    with pytest.raises(CheckpointError, match="remove it"):
        recorded_base(place / "run")


def weights(dtypes=("F32",), **tensors):
    return Weights(tensors, list(dtypes))


@pytest.mark.parametrize(
    ("base", "certain"),
    [
        ({"x": "2x2 1", "y": "3 2"}, None),  # other names
        ({"a": "2x2 1", "b": "3 2", "c": "3 9"}, None),  # and one more
        ({"a": "2x2 1", "b": "3 7"}, True),
        ({"x": "2x2 8", "y": "3 7"}, True),
        ({"a": "2x2 1"}, False),  # a tensor of that shape is not there
        ({"a": "4x2 1", "b": "3 7"}, False),  # a vocabulary that grew, or two tensors that are one
    ],
)
def test_other_numbers_of_the_same_shapes_are_another_base(base, certain):
    found = difference(weights(a="2x2 1", b="3 2"), weights(**base))
    assert (found and found.is_certain) is certain


def test_numbers_that_were_rounded_twice_are_not_certain():
    assert not difference(weights(a="2 1"), weights(("F16",), a="2 2")).is_certain
    assert difference(weights(("F16",), a="2 1"), weights(("F16",), a="2 2")).is_certain


@pytest.mark.parametrize("files", [{}, {"subfolder": "part"}, {"cache_dir": "cache"}, None])
@pytest.mark.parametrize("commit", [None, "b" * 40, "a" * 40])
def test_the_weights_of_a_repository_are_those_of_the_commit_that_was_loaded(commit, files, tmp_path, monkeypatch):
    """Of the cache, which is asked alone; `main` may be another commit by now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr("transformers.utils.hub.TRANSFORMERS_CACHE", str(tmp_path / "own"), raising=False)
    repository = tmp_path / ((files or {}).get("cache_dir") or "own") / "models--you--vla"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("b" * 40)
    snapshot = repository / "snapshots" / ("b" * 40)
    (snapshot / "part").mkdir(parents=True)
    for folder in (snapshot, snapshot / "part"):
        save_file({"a": torch.ones(2)}, folder / "model.safetensors")
    model = SimpleNamespace(name_or_path="you/vla", config=SimpleNamespace(_commit_hash=commit))
    if files != {}:
        model.weights_from = files  # models of other classes do not say
    found = base_weights.folder_of(model)
    if files is None or commit == "a" * 40:
        assert found is None
    else:
        assert found.samefile(snapshot / files.get("subfolder", ""))
    for name in ("", "you/nothing", str(tmp_path / "gone")):
        model.name_or_path = name
        assert base_weights.folder_of(model) is None


def test_one_row_of_a_tensor_is_read(tmp_path, monkeypatch):
    """Whatever its size: the weights of 7 billion parameters are some thousand rows."""
    save_file(
        {"a": torch.ones(64, 3, 5), "b": torch.ones(7), "c": torch.ones(0, 4), "d": torch.tensor(1.0)}, tmp_path / "x"
    )
    sizes = []
    monkeypatch.setattr(base_weights, "mark", lambda shape, row: sizes.append(row.numel()) or str(shape))
    base_weights.weights_in([tmp_path / "x"])
    assert sizes == [5, 7, 0, 1]
