"""What is looked at before a replay, why a model runs eagerly, and what a recording that failed leaves behind."""

from contextlib import contextmanager
from types import SimpleNamespace

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


# ---- a recording that failed


class Draws:
    """The generator of a card's random numbers, which a recording that failed may leave where it draws no more."""

    def __init__(self, is_stuck):
        self.is_stuck, self.offset, self.renewed = is_stuck, 8, 0

    def rand(self, *size, device):
        assert device == "cuda:1"
        if self.is_stuck:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        self.offset += 4

    def get_offset(self):
        return self.offset

    def set_offset(self, offset):
        self.offset = offset

    def clone_state(self):
        return Draws(is_stuck=False)

    def graphsafe_set_state(self, state):
        self.is_stuck, self.renewed = state.is_stuck, self.renewed + 1


@pytest.mark.parametrize("is_left_open", [True, False])
def test_a_recording_that_fails_leaves_stream_allocator_and_random_numbers_as_they_were(monkeypatch, is_left_open):
    """As torch 2.6 and 2.13 leave them, as far as a processor can tell."""
    draws, streams, open_pools = Draws(is_left_open), ["the caller's"], []

    @contextmanager
    def graph(recorded, pool, stream, capture_error_mode):
        streams.append(stream)
        open_pools.append(pool)
        yield
        if not is_left_open:
            open_pools.remove(pool)
        raise RuntimeError("operation failed due to a previous error during capture")

    cuda = SimpleNamespace(
        graph=graph,
        graph_pool_handle=lambda: (0, 7),
        current_stream=lambda: streams[-1],
        set_stream=streams.append,
        current_device=lambda: 1,
        default_generators=[None, draws],
    )
    for name, value in vars(cuda).items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "rand", draws.rand)

    def end(device, pool):
        open_pools.remove(pool)  # an error where it is closed, as torch's

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    memory = GraphMemory()
    memory.stream = "of recordings"
    with pytest.raises(RuntimeError, match="a previous error"), memory.recording(None):
        pass
    assert streams[-1] == "the caller's" and not open_pools and memory.pool is None
    assert (draws.is_stuck, draws.renewed, draws.offset) == (False, int(is_left_open), 8)
