"""Activation checkpointing that was switched off leaves a model as it was, but for what its user asked for."""

import pickle
import warnings

import pytest
import torch
from model_variants import FEW, randomized
from peft import LoraConfig

pytestmark = [pytest.mark.newest, pytest.mark.parametrize("variant", FEW, indirect=True)]


def hooks_of(model):
    """Those that let inputs require gradients."""
    found = [hook for module in model.modules() for hook in module._forward_hooks.values()]
    return [hook for hook in found if "require_grads" in getattr(hook, "__qualname__", "")]


def checkpoint(model, on):
    with warnings.catch_warnings(action="ignore"):  # of names that go in transformers 6
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()


@pytest.fixture
def model(variant):
    return randomized(variant.kind._from_config(variant.make())).eval()


def test_a_model_is_as_it_was_once_checkpointing_is_off(model, variant):
    before = variant.predict(model, variant.prediction())
    for times in (1, 2):
        for _ in range(times):
            checkpoint(model, True)
        checkpoint(model, False)
        assert hooks_of(model) == []
    copied = pickle.loads(pickle.dumps(model))
    assert torch.equal(variant.predict(copied, variant.prediction()), before)


@pytest.mark.parametrize("asked_for", ["before", "while it is on"])
def test_hooks_that_were_asked_for_stay_when_checkpointing_goes(model, asked_for):
    if asked_for == "before":
        model.enable_input_require_grads()
    checkpoint(model, True)
    if asked_for != "before":
        model.enable_input_require_grads()
    count = len(hooks_of(model))
    assert count
    checkpoint(model, False)
    assert len(hooks_of(model)) == count
    model.disable_input_require_grads()
    assert hooks_of(model) == []


def test_checkpointing_that_was_on_twice_is_switched_off_after_hooks_were_taken_out(model):
    checkpoint(model, True)
    model.enable_input_require_grads()
    model.disable_input_require_grads()
    checkpoint(model, True)
    checkpoint(model, False)
    assert hooks_of(model) == []


@pytest.mark.usefixtures("adapters_of_transformers")
def test_checkpointing_goes_of_a_model_that_got_its_adapter_while_it_was_on(model):
    """Of which transformers 4.57 takes hooks out that nobody put in."""
    checkpoint(model, True)
    model.add_adapter(LoraConfig(r=2, target_modules="all-linear"))
    for _ in range(2):
        checkpoint(model, False)
        assert hooks_of(model) == []
    model.disable_input_require_grads()
