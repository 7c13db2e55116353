"""Adapters that are switched off and on, deleted, loaded one behind the other or together: a model predicts and trains
with all of one adapter, its LoRA layers and the parts that it replaces whole, or with none."""

import copy
import itertools
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from model_variants import FEW_FIRST, randomized
from peft import LoraConfig, get_peft_model

import vlahub
from vlahub.errors import CheckpointError, InputError
from vlahub.modeling.adapters_in_use import parts_of_peft

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
    """Of a variant `fresh() -> model`, `predict(model)`, and of the adapters `pick` and `push` what a fresh model
    predicts with them, under `None` without any; `load(model, name)` loads one, `with_pick()` makes a model with it."""
    config = variant.make()
    if getattr(config, "freeze_language_model", False):
        config.freeze_language_model = False

    def fresh():
        return randomized(variant.kind._from_config(copy.deepcopy(config))).eval()

    def predict(model):
        return variant.predict(model.eval(), variant.prediction())

    folder, actions = tmp_path_factory.mktemp("runs"), {None: predict(fresh())}
    for seed, name in enumerate(("pick", "push")):
        model = fresh()
        model.add_adapter(vlahub.lora_config(model, 4, 12))
        actions[name] = predict(changed(model, seed))
        model.save_pretrained(folder / name)
    assert min((actions[one] - actions[other]).abs().max() for one, other in itertools.combinations(actions, 2)) > 1e-3

    def load(model, name, **options):
        model.load_adapter(str(folder / name), name, **options)

    def with_pick(**options):
        model = fresh()
        load(model, "pick", **options)
        return model

    return SimpleNamespace(
        fresh=fresh, predict=predict, actions=actions, load=load, with_pick=with_pick, variant=variant
    )


# What is done with a model that has the adapter pick, and which it predicts with then.
SEQUENCES = {
    "off": None,
    "off, on": "pick",
    "delete pick, load push": "push",
    "off, delete pick, load push": "push",
    "load push, off, on": "push",
    "load push, set pick, off, on, set push": "push",
    "load push, delete push": "pick",
    "load push, delete pick": "push",
    "load push, off, delete push": None,
    "load push, off, delete push, on": "pick",
    "off, load push, set pick": "pick",
    "off, lacking push, on": "pick",
    "delete pick, lacking push, load push": "push",
}


def do(model, step, runs):
    verb, *names = step.split()
    if verb == "lacking":
        with pytest.raises(RuntimeError, match="in the middle"), pytest.MonkeyPatch.context() as patched:
            patched.setattr("vlahub.modeling.adapted_model.check_base", broken)
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
    for steps, wanted in SEQUENCES.items():
        model = runs.with_pick()
        for step in steps.split(", "):
            do(model, step, runs)
        said = partial("{}: {}".format, steps)
        torch.testing.assert_close(runs.predict(model), runs.actions[wanted], **CLOSE, msg=said)


def learning(model, runs):
    """Of the adapters' parameters those that a step of training gives a gradient."""
    model.train()(**runs.variant.training()).loss.backward()
    return {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}


def trained_by(model):
    return {name for name, value in model.named_parameters() if value.requires_grad}


@one_of_each
def test_what_trained_before_trains_after_adapters_were_switched_off(runs):
    model = runs.with_pick(is_trainable=True)
    before = trained_by(model)
    assert sum("modules_to_save" in name for name in before) > 5
    model.disable_adapters()
    assert not trained_by(model) & before
    model.enable_adapters()
    assert trained_by(model) == before
    again = runs.with_pick(is_trainable=True)
    assert learning(model, runs) == learning(again, runs)


@one_of_each
@pytest.mark.parametrize("steps", [[], ["off"], ["delete pick"], ["off", "delete pick"]], ids=" ".join)
def test_an_adapter_behind_another_trains_with_all_its_parts(runs, steps):
    """Added, or loaded to be trained further; loaded to predict it does not train."""
    model = runs.with_pick()
    for step in steps:
        do(model, step, runs)
    runs.load(model, "push", is_trainable=True)
    first = runs.fresh()
    runs.load(first, "push", is_trainable=True)
    assert trained_by(model) == trained_by(first) and learning(model, runs) == learning(first, runs)
    added, alone = runs.with_pick(is_trainable=True), runs.fresh()
    for step in steps:
        do(added, step, runs)
    for each in (added, alone):
        each.add_adapter(vlahub.lora_config(each, 4, 12), "push")
    assert trained_by(added) == trained_by(alone) == trained_by(first)
    assert not trained_by(runs.with_pick())
    model = runs.with_pick()
    for step in steps:
        do(model, step, runs)
    runs.load(model, "push")
    assert not trained_by(model)


def of_lora(model, name, seed, runs):
    """The model with one more adapter, which replaces no part whole."""
    config = vlahub.lora_config(runs.fresh(), 2, 4, modules_to_save=None)
    torch.manual_seed(seed)
    model.add_adapter(config, name)
    return changed(model, seed)


@one_of_each
def test_adapters_that_replace_parts_whole_are_not_used_together(runs):
    model = of_lora(runs.with_pick(), "lift", 5, runs)
    lift = runs.predict(of_lora(runs.fresh(), "lift", 5, runs))
    torch.testing.assert_close(runs.predict(model), lift, **CLOSE)
    with pytest.raises(InputError, match="adapters pick, lift cannot be used together: pick trained parts whole"):
        model.set_adapter(["pick", "lift"])
    torch.testing.assert_close(runs.predict(model), lift, **CLOSE)
    model.set_adapter(["pick"])
    torch.testing.assert_close(runs.predict(model), runs.actions["pick"], **CLOSE)
    with pytest.raises(InputError, match="the model has pick, lift; name one"):
        model.set_adapter("push")
    model.delete_adapter("pick")
    torch.testing.assert_close(runs.predict(model), lift, **CLOSE)


@one_of_each
def test_adapters_of_lora_alone_are_used_together(runs):
    model = of_lora(of_lora(runs.fresh(), "lift", 5, runs), "tilt", 6, runs)
    model.set_adapter(["lift", "tilt"])
    both = runs.predict(model)
    do(model, "lacking push", runs)
    torch.testing.assert_close(runs.predict(model), both, **CLOSE)
    runs.load(model, "pick")
    torch.testing.assert_close(runs.predict(model), runs.actions["pick"], **CLOSE)
    model.set_adapter(["lift", "tilt"])
    model.delete_adapter("pick")
    torch.testing.assert_close(runs.predict(model), both, **CLOSE)
    assert model.active_adapters() == ["lift", "tilt"]
    model.set_adapter("lift")
    assert (runs.predict(model) - both).abs().max() > 1e-3


@one_of_each
@pytest.mark.parametrize("has_adapter", [False, True])
def test_an_adapter_that_cannot_be_added_leaves_the_model_as_it_was(runs, has_adapter):
    model = runs.with_pick() if has_adapter else runs.fresh()
    names, trained = [name for name, _ in model.named_modules()], trained_by(model)
    with pytest.raises(ValueError, match=r"[Tt]arget"):
        model.add_adapter(LoraConfig(r=2, target_modules=["no_such_layer"]), "push")
    assert [name for name, _ in model.named_modules()] == names and trained_by(model) == trained
    assert list(getattr(model, "peft_config", {})) == ["pick"] * has_adapter
    torch.testing.assert_close(runs.predict(model), runs.actions["pick" if has_adapter else None], **CLOSE)
    runs.load(model, "push")
    torch.testing.assert_close(runs.predict(model), runs.actions["push"], **CLOSE)


def state_of(model):
    """All modules with what PEFT says of them, and all parameters."""
    modules = {name: (type(each).__name__, each.training) for name, each in model.named_modules()}
    parts = [(part.disable_adapters, list(part.active_adapters)) for part in parts_of_peft(model)]
    parameters = {name: (each.requires_grad, each.tolist()) for name, each in model.named_parameters()}
    return modules, parts, parameters, list(model.peft_config)


@one_of_each
@pytest.mark.parametrize("off", [False, True])
def test_a_model_that_peft_wraps_is_as_before_where_it_refuses_an_adapter(runs, off):
    model = runs.fresh()
    config = vlahub.lora_config(model, 2, 4)
    wrapped = changed(get_peft_model(model, copy.deepcopy(config), "lift"), 7)
    if off:
        wrapped.base_model.disable_adapter_layers()
    before, lift = state_of(model), runs.predict(model)
    do(model, "lacking push", runs)
    for add in (
        lambda: model.add_adapter(config, "lift"),
        lambda: model.load_adapter(None, "lift", peft_config=config, adapter_state_dict={}),
    ):
        with pytest.raises(InputError, match="adapter 'lift' is in the model already, which PEFT wraps"):
            add()
    assert state_of(model) == before
    assert list(wrapped.peft_config) == wrapped.active_adapters == ["lift"]
    assert torch.equal(runs.predict(model), lift)
    runs.load(model, "push")
    torch.testing.assert_close(runs.predict(model), runs.actions["push"], **CLOSE)


@one_of_each
def test_what_is_left_of_frozen_adapters_stays_frozen(runs):
    """Also where the deletion is refused."""
    for gone in ("push", "pick"):
        model = runs.with_pick()
        runs.load(model, "push")
        with pytest.raises(ValueError, match="nobody"):
            model.delete_adapter("nobody")
        assert not trained_by(model)
        model.delete_adapter(gone)
        assert not trained_by(model)
    model = runs.with_pick(is_trainable=True)
    before = trained_by(model)
    runs.load(model, "push")
    model.set_adapter("pick")
    model.delete_adapter("push")
    assert trained_by(model) == before


@one_of_each
def test_an_adapter_that_names_no_base_says_what_to_do(runs, tmp_path):
    """As one that was trained in a model of a config alone."""
    runs.with_pick().save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"names no model .*\(base_model_name_or_path\); load that model by itself"
    ):
        runs.variant.kind.from_pretrained(tmp_path)
