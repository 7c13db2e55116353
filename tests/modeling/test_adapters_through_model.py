"""PEFT adapters by the model's own methods: what is saved is what was trained, and what is loaded is what was saved."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, Trainer, TrainingArguments
from transformers.integrations.peft import PeftAdapterMixin

import vlahub
from vlahub.errors import CheckpointError, ConfigError
from vlahub.modeling import adapted_model
from vlahub.modeling.adapter_loading import adapter_of
from vlahub.modeling.strict_loading import StrictPreTrainedModel

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("adapters_of_transformers")]
VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained(family, family_checkpoint, tmp_path_factory):
    """A model with an adapter and new parts, all of them changed; the adapter's state, and where it was saved."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    model.add_adapter(vlahub.lora_config(model, 4, 8))
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    folder = tmp_path_factory.mktemp("adapter")
    model.eval().save_pretrained(folder)
    state = {name: value.clone() for name, value in model.get_adapter_state_dict().items()}
    processor = family.processor.from_pretrained(family_checkpoint)
    return SimpleNamespace(model=model, state=state, folder=folder, processor=processor)


def assert_same_adapter(model, trained, name=None):
    found = model.get_adapter_state_dict(name)
    assert found.keys() == trained.state.keys()
    assert [key for key, value in trained.state.items() if not torch.equal(found[key], value)] == []


def test_every_trained_tensor_is_saved(trained):
    saved = load_file(trained.folder / "adapter_model.safetensors")
    count = sum(parameter.requires_grad for parameter in trained.model.parameters())
    assert len(saved) == count == len(trained.state) > 50
    assert {key.removeprefix("base_model.model.") for key in saved} == trained.state.keys()


@pytest.mark.parametrize("name", [None, "other"])
def test_an_adapter_is_loaded_into_a_fresh_model_whole(family, family_checkpoint, family_call, trained, name):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    before = family_call(model, trained.processor, VIEWS)
    model.load_adapter(str(trained.folder), name)
    assert_same_adapter(model, trained, name)
    wanted = family_call(trained.model, trained.processor, VIEWS)
    torch.testing.assert_close(family_call(model.eval(), trained.processor, VIEWS), wanted, rtol=1e-4, atol=1e-4)
    assert (wanted - before).abs().max() > 1e-2


@pytest.fixture(scope="module")
def others(trained, tmp_path_factory):
    """Folders of two more adapters: one with other tensors, and one that lacks a tensor."""
    state, folder = load_file(trained.folder / "adapter_model.safetensors"), tmp_path_factory.mktemp("others")
    lacking = dict(list(state.items())[1:])
    for name, tensors in {"halved": {key: value / 2 for key, value in state.items()}, "lacking": lacking}.items():
        shutil.copytree(trained.folder, folder / name)
        save_file(tensors, folder / name / "adapter_model.safetensors", metadata={"format": "pt"})
    return SimpleNamespace(halved=str(folder / "halved"), lacking=str(folder / "lacking"))


def test_a_second_adapter_is_loaded_beside_the_first(family, family_checkpoint, family_call, trained, others):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    model.load_adapter(str(trained.folder), "first")
    first = family_call(model, trained.processor, VIEWS)
    model.load_adapter(others.halved, "second")
    assert model.active_adapters() == ["second"]
    alone = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    alone.load_adapter(others.halved)
    second = family_call(alone, trained.processor, VIEWS)
    torch.testing.assert_close(family_call(model, trained.processor, VIEWS), second, rtol=1e-4, atol=1e-4)
    assert_same_adapter(model, trained, "first")
    model.set_adapter("first")
    torch.testing.assert_close(family_call(model, trained.processor, VIEWS), first, rtol=1e-4, atol=1e-4)
    assert (first - second).abs().max() > 1e-3


def test_a_second_adapter_is_added_beside_the_first(family, family_checkpoint, family_call, trained):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    second = vlahub.lora_config(model, 4, 8)
    model.load_adapter(str(trained.folder), "first")
    first = family_call(model, trained.processor, VIEWS)
    model.add_adapter(second, "second")
    model.set_adapter("first")
    torch.testing.assert_close(family_call(model.eval(), trained.processor, VIEWS), first, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("adapters", [[], ["first"]], ids=["alone", "beside another"])
def test_a_model_that_refuses_an_adapter_is_as_before(
    family, family_checkpoint, family_call, trained, others, adapters, tmp_path
):
    def described():
        parameters = {name: each.requires_grad for name, each in model.named_parameters()}
        return parameters, {name: (type(each), each.training) for name, each in model.named_modules()}

    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    for name in adapters:
        model.load_adapter(str(trained.folder), name)
    before = family_call(model, trained.processor, VIEWS)
    model.train()
    was = described()
    with pytest.raises(ConfigError, match=r"the weights .*do not fit .* config; missing keys: "):
        model.load_adapter(others.lacking, "second")
    assert described() == was and getattr(model, "peft_config", {}).keys() == set(adapters)
    found = family_call(model.eval(), trained.processor, VIEWS)
    torch.testing.assert_close(found, before, rtol=1e-4, atol=1e-4)
    if adapters:
        assert model.active_adapters() == adapters
    else:
        model.save_pretrained(tmp_path)
    model.load_adapter(others.halved, "second")


def test_a_folder_of_an_adapter_loads_its_base_and_itself(family, family_call, trained):
    model = family.model.from_pretrained(trained.folder, dtype=torch.float32)
    assert_same_adapter(model, trained)
    wanted = family_call(trained.model, trained.processor, VIEWS)
    torch.testing.assert_close(family_call(model, trained.processor, VIEWS), wanted, rtol=1e-4, atol=1e-4)


def test_the_adapter_of_a_folder_gets_the_name_that_is_asked_for(family, trained):
    model = family.model.from_pretrained(trained.folder, dtype=torch.float32, adapter_name="robot")
    assert model.active_adapters() == ["robot"]
    assert_same_adapter(model, trained, "robot")


def test_revision_and_subfolder_are_those_of_the_adapter_and_new_parts_of_its_base(
    family, family_checkpoint, trained, monkeypatch
):
    asked = {}

    class Loaded:
        config, generation_config = family.config.from_pretrained(family_checkpoint), None

        def load_adapter(self, place, name, adapter_kwargs):
            asked["adapter"] = place, name, adapter_kwargs

    def load(place, output_loading_info, **given):
        asked["base"] = place, given
        return Loaded()

    monkeypatch.setattr(family.model, "from_pretrained", load)
    files = {"revision": "v1", "subfolder": trained.folder.name, "token": "secret"}
    options = {"adapter_name": "robot", "dtype": torch.float32, "new_parts": ["action_head"]}
    StrictPreTrainedModel.from_pretrained.__func__(family.model, trained.folder.parent, **files, **options)
    base = written_config(trained.folder)["base_model_name_or_path"]
    place, given = asked["base"]
    given.pop("config", None)  # with the statistics of the run, see test_config_of_run.py
    assert (place, given) == (base, {"token": "secret", "dtype": torch.float32, "new_parts": ["action_head"]})
    del files["subfolder"]  # of a local folder it is looked up here
    assert asked["adapter"] == (str(trained.folder), "robot", files)


def written_config(folder, **changes):
    """What is in an adapter's config, after changes."""
    path = folder / "adapter_config.json"
    written = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(written))
    return written


def test_the_revision_of_the_base_is_what_the_adapter_names(trained, tmp_path):
    shutil.copy(trained.folder / "adapter_config.json", tmp_path)
    written_config(tmp_path, base_model_name_or_path="user/base", revision="v3")
    found = adapter_of(tmp_path, {"token": "secret", "revision": "v1"})
    assert (found.base, found.base_files) == ("user/base", {"token": "secret", "revision": "v3"})
    assert (found.place, found.files) == (tmp_path, {"token": "secret", "revision": "v1"})


def test_the_revision_that_an_auto_class_is_given_is_the_adapters(trained, tmp_path):
    """5.x says so itself, and resolves one for the base beside it; 4.57 hands it on as it was given."""
    shutil.copy(trained.folder / "adapter_config.json", tmp_path)
    by_auto = {"_adapter_model_path": str(tmp_path)}
    found = adapter_of("user/base", {"revision": "v2", "adapter_kwargs": by_auto})
    assert (found.base_files, found.files) == ({}, {"revision": "v2"})
    found = adapter_of("user/base", {"revision": "0123", "adapter_kwargs": by_auto | {"revision": "v2"}})
    assert (found.base_files, found.files) == ({"revision": "0123"}, {"revision": "v2"})


@pytest.mark.parametrize("word", ["revision", "token"])
def test_words_beside_adapter_kwargs_say_which_files_are_meant(word, family, family_checkpoint, monkeypatch):
    model, asked = of_class(family, family_checkpoint), {}

    def load(self, place, name, **given):
        asked.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(PeftAdapterMixin, "load_adapter", load)
    monkeypatch.setattr(adapted_model, "settings_of_run", lambda *args: asked.update(beside=dict(args[-1])) or {})
    monkeypatch.setattr(adapted_model, "generation_of_run", lambda *args: None)
    with pytest.raises(KeyboardInterrupt):
        model.load_adapter("user/adapter", "robot", **{word: "x"})
    assert asked["adapter_kwargs"] == asked["beside"]["adapter_kwargs"] == {word: "x"} and word not in asked


@pytest.fixture
def beside(family_checkpoint, trained, tmp_path):
    """A folder of a whole model and of the adapter."""
    folder = shutil.copytree(family_checkpoint, tmp_path / "both")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(trained.folder / name, folder)
    return folder


def of_class(family, folder, **kwargs):
    return family.model.from_pretrained(folder, dtype=torch.float32, **kwargs)


def of_auto(family, folder, **kwargs):
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, **kwargs)


loaders = pytest.mark.parametrize("load", [of_class, of_auto])


@loaders
def test_an_adapter_beside_the_weights_of_a_model_is_refused(family, load, beside):
    with pytest.raises(CheckpointError, match=r"holds an adapter \(adapter_config.json\) and the weights of a model"):
        load(family, beside)
    (beside / "adapter_config.json").unlink()
    assert type(load(family, beside)) is family.model


@loaders
def test_a_model_that_is_saved_over_its_adapter_is_what_is_loaded(family, family_checkpoint, load, beside):
    model = of_class(family, family_checkpoint)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    model.save_pretrained(beside)
    assert not list(beside.glob("adapter_config*")) + list(beside.glob("adapter_model*"))
    assert all((parameter == 0.5).all() for parameter in load(family, beside).parameters())


@loaders
def test_a_base_that_lacks_tensors_is_refused_by_their_names(family, family_checkpoint, load, trained, tmp_path):
    base, adapter = shutil.copytree(family_checkpoint, tmp_path / "base"), tmp_path / "adapter"
    shutil.copytree(trained.folder, adapter)
    written_config(adapter, base_model_name_or_path=str(base))
    assert_same_adapter(load(family, adapter), trained)
    state = load_file(base / "model.safetensors")
    lost = next(name for name in state if "mlp" in name)
    del state[lost]
    save_file(state, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=f"missing keys: {re.escape(lost)}"):
        load(family, adapter)


@loaders
def test_an_adapter_in_a_folder_of_its_model_is_added_to_it(family, family_checkpoint, load, trained, tmp_path):
    folder = shutil.copytree(family_checkpoint, tmp_path / "model")
    shutil.copytree(trained.folder, folder / "adapter")
    written_config(folder / "adapter", base_model_name_or_path=str(folder))
    assert_same_adapter(load(family, folder, adapter_kwargs={"subfolder": "adapter"}), trained)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("by_auto", [False, True])
def test_an_adapter_in_a_repository_of_a_model_is_added_to_it_and_in_that_of_a_run_to_the_base_that_it_names(
    weights, by_auto, trained, tmp_path
):
    snapshot, lora = tmp_path / "models--me--model" / "snapshots" / "abc", {"subfolder": "lora"}
    shutil.copytree(trained.folder, snapshot / "lora")
    written_config(snapshot / "lora", base_model_name_or_path="user/base")
    (tmp_path / "models--me--model" / "refs").mkdir()
    (tmp_path / "models--me--model" / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    if weights:
        (snapshot / "model.safetensors").touch()
    files = {"cache_dir": str(tmp_path), "local_files_only": True}
    asked = {"adapter_kwargs": lora | ({"_adapter_model_path": "me/model"} if by_auto else {})}
    found = adapter_of("user/base" if by_auto else "me/model", files | asked)
    assert (found.base, found.base_files) == ("me/model" if weights else "user/base", files)
    assert (found.place, found.files) == ("me/model", files | lora)


def lost(state, name):
    del state[name]
    return "missing keys: .*lora_B"


@pytest.mark.parametrize("change", [None, lost])
def test_an_adapter_in_a_subfolder_is_loaded_whole_or_refused(change, family, family_checkpoint, trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "runs" / "mine")
    model = of_class(family, family_checkpoint)
    if change is None:
        model.load_adapter(str(folder.parent), adapter_kwargs={"subfolder": "mine"})
        assert_same_adapter(model, trained)
        return
    state = load_file(folder / "adapter_model.safetensors")
    message = change(state, next(key for key in state if "lora_B" in key))
    save_file(state, folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match=message):
        model.load_adapter(str(folder.parent), adapter_kwargs={"subfolder": "mine"})


def test_an_adapter_in_the_vision_tower_is_saved_whole(family, family_checkpoint, tmp_path):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    model.add_adapter(LoraConfig(r=2, target_modules="all-linear"))
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert {key.removeprefix("base_model.model.") for key in saved} == model.get_adapter_state_dict().keys()
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    model.load_adapter(str(tmp_path))
    found = model.get_adapter_state_dict()
    assert all(torch.equal(found[key.removeprefix("base_model.model.")], value) for key, value in saved.items())


def test_a_trainer_saves_the_same(trained, tmp_path):
    arguments = TrainingArguments(output_dir=tmp_path, report_to=[], use_cpu=True)
    Trainer(trained.model, arguments).save_model(tmp_path / "saved")
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (trained.folder, tmp_path / "saved"))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def one_more(state, name):
    state[name.replace("lora_B", "lora_C")] = torch.ones(2)
    return "unexpected keys: .*lora_C"


def of_another_rank(state, name):
    state[name] = torch.cat([state[name]] * 2, dim=1)
    return "mismatched keys: .*lora_B|size mismatch for .*lora_B"  # 4.57: by PEFT


@pytest.mark.parametrize("change", [lost, one_more, of_another_rank])
def test_an_adapter_of_other_tensors_is_refused_by_their_names(change, family, family_checkpoint, trained, tmp_path):
    state = load_file(trained.folder / "adapter_model.safetensors")
    message = change(state, next(key for key in state if "lora_B" in key))
    save_file(state, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text((trained.folder / "adapter_config.json").read_text())
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    with pytest.raises((ConfigError, RuntimeError), match=message):
        model.load_adapter(str(tmp_path))


def test_a_model_that_is_left_wrapped_is_not_saved_as_a_whole_one(family, family_checkpoint, tmp_path):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    model.add_adapter(vlahub.lora_config(model, 4, 8))
    model.delete_adapter("default")
    with pytest.raises(ConfigError, match="modules of PEFT are left in this model"):
        model.save_pretrained(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("by_its_state", [False, True])
def test_what_a_release_leaves_out_of_an_adapter_is_put_in(
    family, family_checkpoint, trained, monkeypatch, by_its_state
):
    load_as_before = PeftAdapterMixin.load_adapter

    def leaving_all_out(model, *args, **kwargs):
        load_as_before(model, *args, **kwargs)
        for name, parameter in model.named_parameters():
            if "default" in name.split("."):
                parameter.data.zero_()

    monkeypatch.setattr(PeftAdapterMixin, "load_adapter", leaving_all_out)
    monkeypatch.setattr(adapted_model, "LEAVES_OUT", True)
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    if by_its_state:
        config = trained.model.peft_config["default"]
        assert model.load_adapter(peft_config=config, adapter_state_dict=dict(trained.state)) is None
    else:
        assert model.load_adapter(trained.folder) is None
    assert_same_adapter(model, trained)
