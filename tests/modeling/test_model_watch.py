"""What is looked at before a replay, and why a model runs eagerly."""

import pytest
import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor
from traced_graphs import NotRecordable, TracedGraph

from vlahub.modeling.captured_graphs import GraphMemory
from vlahub.modeling.model_watch import ModelWatch, place_of


@pytest.fixture
def stack():
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4))).eval()


def hooked_by_accelerate(stack):
    from accelerate.hooks import ModelHook, add_hook_to_module

    add_hook_to_module(stack[1][0], ModelHook())


def hooked_everywhere(stack):
    return nn.modules.module.register_module_forward_hook(lambda *given: None)


def split(stack):
    stack.hf_device_map = {"0": "cpu", "1": "disk"}


def on_meta(stack):
    stack[1].to("meta")
    stack[0].to("meta")


REASONS = [
    (lambda stack: stack[1][0].register_forward_pre_hook(lambda *given: None), "hooks"),
    (hooked_by_accelerate, "hooks"),
    (hooked_everywhere, "hooks"),
    (split, "the model is split or sharded"),
    (lambda stack: stack[1].to("meta"), "parts lie on several devices"),
    (on_meta, "weights are on the meta device"),
    (lambda stack: stack[1].train(), "training mode"),
]


@pytest.mark.parametrize(("change", "reason"), REASONS)
def test_reasons_against_graphs(stack, change, reason):
    before = ModelWatch(stack)
    assert before.reason_against() is None
    handle = change(stack)
    try:
        assert reason in (before.reason_against(), ModelWatch(stack).reason_against())
        assert before.has_changed() or before.reason_against() or change is split
    finally:
        if hasattr(handle, "remove"):
            handle.remove()


def test_one_device_of_a_map_is_no_split(stack):
    stack.hf_device_map = {"": "cuda:0"}
    assert ModelWatch(stack).reason_against() is None


def test_parts_of_a_quantised_weight_are_looked_at():
    weight = TwoTensor(torch.ones(2), torch.zeros(2))
    before = place_of(weight)
    weight.b.add_(1)
    assert place_of(weight) == before
    weight.b = torch.ones(2)
    assert place_of(weight) != before


def test_settings_that_choose_kernels_are_told_apart(stack):
    watch = ModelWatch(stack)
    plain = watch.settings()
    with torch.autocast("cpu", torch.bfloat16):
        assert watch.settings() != plain
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert watch.settings() != plain
    torch.use_deterministic_algorithms(True)
    assert watch.settings() != plain
    torch.use_deterministic_algorithms(False)
    assert watch.settings() == plain
    torch.set_float32_matmul_precision("high")
    assert watch.settings() != plain
    torch.set_float32_matmul_precision("highest")


REFUSED = [
    lambda x: x[x > 0],
    lambda x: x * float(x.sum()),
    lambda x: x + torch.tensor([1.0, 2.0]),
    lambda x: x + torch.tensor(1.0, device=x.device),
    lambda x: x + torch.randn_like(x),
    lambda x: x.repeat_interleave(x.long().abs()),
    lambda x: nn.functional.dropout(x, 0.5),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_the_stand_in_refuses_what_a_card_would(number):
    with pytest.raises(NotRecordable):
        TracedGraph(REFUSED[number], torch.ones(2), (), GraphMemory())


def test_the_stand_in_takes_a_number_that_stays_on_the_host():
    recorded = TracedGraph(lambda x: x * torch.tensor(3.0, dtype=x.dtype), torch.ones(2), (), GraphMemory())
    assert recorded(torch.full((2,), 2.0)).tolist() == [6.0, 6.0]
