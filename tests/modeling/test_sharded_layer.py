"""Keys and values of a decoder layer count among its outputs under fully sharded training, and not otherwise."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vlahub.modeling import sharded_layer
from vlahub.modeling.cache_names import CACHE_NAMES
from vlahub.modeling.sharded_layer import TiedTogether, tie_keys_and_values, tie_to_output


class Layer(nn.Module):
    """Leaves keys and values in its cache and returns a state; the second of a cache's layers."""

    def __init__(self):
        super().__init__()
        self.self_attn = SimpleNamespace(layer_idx=1)
        self.linear = nn.Linear(2, 2)

    def forward(self, states, as_tuple=False, **named):
        cache = next(iter(named.values()))
        states = self.linear(states)
        for kept in getattr(cache, "layers", [cache, cache])[1:]:
            kept.keys, kept.values = states * 2, states * 3
        return (states, "more") if as_tuple else states


@pytest.fixture
def sharded(monkeypatch):
    """A layer that passes for one of FSDP2."""
    monkeypatch.setattr(sharded_layer, "FSDPModule", Layer)
    layer = Layer()
    tie_keys_and_values(layer)
    return layer


def kept():
    return SimpleNamespace(keys=None, values=None)


def is_tied(tensor):
    return tensor.grad_fn.name().startswith("TiedTogether")


@pytest.mark.parametrize("name", CACHE_NAMES)
@pytest.mark.parametrize("as_tuple", [False, True])
def test_a_gradient_of_the_keys_alone_reaches_the_output(sharded, name, as_tuple):
    cache = SimpleNamespace(layers=[kept(), kept()])
    output = sharded(torch.ones(1, 2), as_tuple=as_tuple, **{name: cache})
    if as_tuple:
        assert isinstance(output, tuple) and output[1] == "more"
    states, own = output[0] if as_tuple else output, cache.layers[1]
    assert all(map(is_tied, (states, own.keys, own.values))) and cache.layers[0].keys is None
    assert torch.equal(own.keys, states * 2) and torch.equal(own.values, states * 3)
    own.keys.sum().backward()
    wanted = torch.full((2, 2), 2.0)
    assert torch.equal(sharded.linear.weight.grad, wanted)


def test_keys_that_are_kept_without_a_cache_are_tied_too(sharded):
    collector = kept()
    assert is_tied(sharded(torch.ones(1, 2), cache=collector)) and is_tied(collector.values)


def test_nothing_changes_without_sharding_without_gradients_or_where_nothing_is_kept(sharded, monkeypatch):
    output = torch.ones(1, requires_grad=True) * 1
    with torch.no_grad():
        assert tie_to_output(sharded, (), {"cache": SimpleNamespace(keys=output, values=output)}, output) is output
    for cache in (None, object()):
        assert tie_to_output(sharded, (), {"cache": cache}, output) is output
    monkeypatch.setattr(sharded_layer, "FSDPModule", type(None))
    assert not is_tied(sharded(torch.ones(1, 2), cache=kept()))


def test_a_layer_is_tied_once():
    layer = Layer()
    for _ in range(2):
        tie_keys_and_values(layer)
    assert list(layer._forward_hooks.values()) == [tie_to_output]


def test_each_of_three_gets_its_own_gradient_and_none_is_made_up():
    leaves = [torch.ones(2, requires_grad=True) for _ in range(3)]
    first, _, last = TiedTogether.apply(*leaves)
    (first * 2 + last * 3).sum().backward()
    assert [None if leaf.grad is None else leaf.grad.tolist() for leaf in leaves] == [[2, 2], None, [3, 3]]
