"""Adapters that are switched off and on, deleted, loaded one behind the other or together: a model predicts and trains
with all of one adapter, its LoRA layers and the parts that it replaces whole, or with none."""

import copy
from types import SimpleNamespace

import pytest
import torch
from model_variants import FEW_FIRST, randomized
from peft import LoraConfig

import vlahub
from vlahub.errors import InputError

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("adapters_of_transformers")]

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
one_of_each = pytest.mark.parametrize("variant", ("openvla-oft", "composed-flow"), indirect=True)


def changed(model, seed):
    """The model in evaluation, each trained number another one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value += 0.05 * torch.randn(value.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def runs(variant, tmp_path_factory):
    """Of a variant `fresh() -> model`, `predict(model)`, and of adapters `a` and `b` the folders and what a fresh model
    predicts with them; under `None` without."""
    config = variant.make()
    if getattr(config, "freeze_language_model", False):
        config.freeze_language_model = False

    def fresh():
        return randomized(variant.kind._from_config(copy.deepcopy(config))).eval()

    def predict(model):
        return variant.predict(model.eval(), variant.prediction())

    folder, actions = tmp_path_factory.mktemp("runs"), {None: predict(fresh())}
    for seed, name in enumerate("ab"):
        model = fresh()
        model.add_adapter(vlahub.lora_config(model, 4, 12))
        actions[name] = predict(changed(model, seed))
        model.save_pretrained(folder / name)
    assert min((actions[one] - actions[other]).abs().max() for one, other in ("ab", ("a", None), ("b", None))) > 1e-3

    def load(model, name, **options):
        model.load_adapter(str(folder / name), name, **options)

    def with_a(**options):
        model = fresh()
        load(model, "a", **options)
        return model

    return SimpleNamespace(fresh=fresh, predict=predict, actions=actions, load=load, with_a=with_a, variant=variant)


# What is done with a model that has the adapter a, and by which it predicts then; of each step the name is its own.
SEQUENCES = {
    "off": (["off"], None),
    "off, on": (["off", "on"], "a"),
    "delete a, load b": (["delete a", "load b"], "b"),
    "off, delete a, load b": (["off", "delete a", "load b"], "b"),
    "load b, off, on": (["load b", "off", "on"], "b"),
    "load b, set a, off, on, set b": (["load b", "set a", "off", "on", "set b"], "b"),
    "load b, delete b": (["load b", "delete b"], "a"),
    "load b, delete a": (["load b", "delete a"], "b"),
    "load b, off, delete b": (["load b", "off", "delete b"], None),
    "load b, off, delete b, on": (["load b", "off", "delete b", "on"], "a"),
    "off, load b, set a": (["off", "load b", "set a"], "a"),
    "off, lacking b, on": (["off", "lacking b", "on"], "a"),
    "delete a, lacking b, load b": (["delete a", "lacking b", "load b"], "b"),
}


def do(model, step, runs):
    verb, *names = step.split()
    if verb == "lacking":
        with pytest.raises(RuntimeError, match="in the middle"), pytest.MonkeyPatch.context() as patched:
            patched.setattr("vlahub.modeling.strict_loading.check_base", broken)
            runs.load(model, *names)
    elif verb == "load":
        runs.load(model, *names)
    else:
        method = {"off": "disable", "on": "enable"}.get(verb, verb) + ("_adapter" if names else "_adapters")
        getattr(model, method)(*names)


def broken(*args, **kwargs):
    raise RuntimeError("in the middle")


@pytest.mark.parametrize("variant", FEW_FIRST, indirect=True)
def test_a_model_predicts_with_all_of_one_adapter_or_of_none(runs):
    """After every sequence as a fresh model with the adapter that is in use."""
    for name, (steps, wanted) in SEQUENCES.items():
        model = runs.with_a()
        for step in steps:
            do(model, step, runs)
        found = runs.predict(model)
        torch.testing.assert_close(found, runs.actions[wanted], **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


def learning(model, runs):
    """Of the adapters' parameters those that a step of training gives a gradient."""
    model.train()(**runs.variant.training()).loss.backward()
    return {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}


def trained_by(model):
    return {name for name, value in model.named_parameters() if value.requires_grad}


@one_of_each
def test_what_trained_before_trains_after_adapters_were_switched_off(runs):
    model = runs.with_a(is_trainable=True)
    before = trained_by(model)
    assert sum("modules_to_save" in name for name in before) > 5
    model.disable_adapters()
    assert not trained_by(model)
    model.enable_adapters()
    assert trained_by(model) == before
    again = runs.with_a(is_trainable=True)
    assert learning(model, runs) == learning(again, runs)


@one_of_each
@pytest.mark.parametrize("steps", [[], ["off"], ["delete a"], ["off", "delete a"]], ids=" ".join)
def test_an_adapter_behind_another_trains_with_all_its_parts(runs, steps):
    """Added, or loaded to be trained further; loaded to predict it does not train."""
    model = runs.with_a()
    for step in steps:
        do(model, step, runs)
    runs.load(model, "b", is_trainable=True)
    first = runs.fresh()
    runs.load(first, "b", is_trainable=True)
    assert trained_by(model) == trained_by(first) and learning(model, runs) == learning(first, runs)
    added, alone = runs.with_a(is_trainable=True), runs.fresh()
    for step in steps:
        do(added, step, runs)
    for each in (added, alone):
        each.add_adapter(vlahub.lora_config(each, 4, 12), "b")
    assert trained_by(added) == trained_by(alone) == trained_by(first)
    assert not trained_by(runs.with_a())
    model = runs.with_a()
    for step in steps:
        do(model, step, runs)
    runs.load(model, "b")
    assert not trained_by(model)


def of_lora(model, name, seed, runs):
    """The model with one more adapter, which replaces no part whole."""
    config = vlahub.lora_config(runs.fresh(), 2, 4, modules_to_save=None)
    torch.manual_seed(seed)
    model.add_adapter(config, name)
    return changed(model, seed)


@one_of_each
def test_adapters_that_replace_parts_whole_are_not_used_together(runs):
    model = of_lora(runs.with_a(), "small", 5, runs)
    small = runs.predict(of_lora(runs.fresh(), "small", 5, runs))
    torch.testing.assert_close(runs.predict(model), small, **CLOSE)
    with pytest.raises(InputError, match="adapters a, small cannot be used together: a trained parts whole"):
        model.set_adapter(["a", "small"])
    torch.testing.assert_close(runs.predict(model), small, **CLOSE)
    model.set_adapter(["a"])
    torch.testing.assert_close(runs.predict(model), runs.actions["a"], **CLOSE)
    with pytest.raises(InputError, match="the model has a, small; name one"):
        model.set_adapter("b")
    model.delete_adapter("a")
    torch.testing.assert_close(runs.predict(model), small, **CLOSE)


@one_of_each
def test_adapters_of_lora_alone_are_used_together(runs):
    model = of_lora(of_lora(runs.fresh(), "one", 5, runs), "two", 6, runs)
    model.set_adapter(["one", "two"])
    both = runs.predict(model)
    runs.load(model, "a")
    torch.testing.assert_close(runs.predict(model), runs.actions["a"], **CLOSE)
    model.set_adapter(["one", "two"])
    model.delete_adapter("a")
    torch.testing.assert_close(runs.predict(model), both, **CLOSE)
    assert model.active_adapters() == ["one", "two"]
    model.set_adapter("one")
    assert (runs.predict(model) - both).abs().max() > 1e-3


@one_of_each
@pytest.mark.parametrize("has_adapter", [False, True])
def test_an_adapter_that_cannot_be_added_leaves_the_model_as_it_was(runs, has_adapter):
    model = runs.with_a() if has_adapter else runs.fresh()
    names, trained = [name for name, _ in model.named_modules()], trained_by(model)
    with pytest.raises(ValueError, match="not found in the base model"):
        model.add_adapter(LoraConfig(r=2, target_modules=["no_such_layer"]), "b")
    assert [name for name, _ in model.named_modules()] == names and trained_by(model) == trained
    assert list(getattr(model, "peft_config", {})) == ["a"] * has_adapter
    torch.testing.assert_close(runs.predict(model), runs.actions["a" if has_adapter else None], **CLOSE)
    runs.load(model, "b")
    torch.testing.assert_close(runs.predict(model), runs.actions["b"], **CLOSE)
