"""Outputs of parts that lie on several devices go back to where their inputs came from."""

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, ModelHook, SequentialHook
from torch import nn

from vlahub.modeling.spread_parts import bring_outputs_back

SPREAD = {"first": "cuda:0", "second": "cuda:1", "scale": "cuda:1", "second.bias": "cuda:1"}


def parts(devices):
    """A model of two parts and a number of its own, with the hooks of accelerate's `dispatch_model`."""
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    model.scale = nn.Parameter(torch.ones(2, dtype=torch.float64))
    model.hf_device_map = devices
    model._hf_hook = AlignDevicesHook("cpu", io_same_device=True)
    model["first"]._hf_hook = AlignDevicesHook("cuda:0")
    model["second"]._hf_hook = SequentialHook(ModelHook(), AlignDevicesHook("cuda:1"))
    return model


def answers(model):
    """Whether each part answers where it was asked."""
    hooks = model["first"]._hf_hook, model["second"]._hf_hook.hooks[1]
    return [hook.io_same_device for hook in hooks]


def test_parts_on_several_cards_answer_where_they_were_asked():
    model = parts(SPREAD)
    bring_outputs_back(model)
    assert answers(model) == [True, True] and not hasattr(model["second"]._hf_hook.hooks[0], "io_same_device")


@pytest.mark.parametrize("first", ["cuda:1", "cpu", "disk"])
def test_parts_on_one_card_answer_as_accelerate_lets_them(first):
    model = parts({"first": first, "second": "cuda:1"})
    bring_outputs_back(model)
    assert answers(model) == [False, False]


def test_a_model_that_accelerate_has_not_split_is_left_alone():
    model = nn.Linear(2, 2)
    bring_outputs_back(model)
    model.hf_device_map = SPREAD  # of one that FSDP or DeepSpeed shards, and accelerate attaches nothing to
    bring_outputs_back(model)
    assert not hasattr(model, "_hf_hook")


def test_tensors_of_no_part_go_to_the_first_device():
    model = parts(SPREAD)
    model["second"].bias = nn.Parameter(torch.ones(2, device="meta"))  # offloaded: its hook brings it
    model._hf_hook.execution_device = torch.float32  # seen on a processor alone: `.to` takes a dtype, too
    scale, first = model.scale, model["first"].weight
    bring_outputs_back(model)
    assert model.scale is scale and scale.dtype == torch.float32
    assert model["first"].weight is first and model["second"].bias.is_meta
