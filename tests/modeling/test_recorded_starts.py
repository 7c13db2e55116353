"""What a parameter starts as is what was last written into the whole of it, or an error says what that was."""

import pytest
import torch
from torch import nn
from torch.nn import init

from vlahub.errors import ConfigError
from vlahub.modeling.initial_values import InitialValue, InitialValues


def linear(*writes):
    def make():
        layer = nn.Linear(3, 2)
        with torch.no_grad():
            for write in writes:
                write(layer.weight)
        return layer

    return make


def held(make):
    def module():
        found = nn.Module()
        found.weight = nn.Parameter(make())
        return found

    return module


def embedding():
    layer = nn.Embedding(5, 3, padding_idx=0)
    with torch.no_grad():
        layer.weight.normal_(0, 0.25)
        layer.weight[0].zero_()
    return layer


KNOWN = {
    "zeros": (held(lambda: torch.zeros(2)), InitialValue(value=0.0)),
    "ones": (held(lambda: torch.ones(2)), InitialValue(value=1.0)),
    "zeroed": (linear(init.zeros_), InitialValue(value=0.0)),
    "filled": (linear(lambda weight: weight.fill_(3)), InitialValue(value=3.0)),
    "normal": (linear(lambda weight: weight.normal_(0, 0.5)), InitialValue(deviation=0.5)),
    "standard normal": (linear(lambda weight: weight.normal_()), InitialValue(deviation=1.0)),
    "the last of two": (linear(init.zeros_, lambda weight: weight.normal_(0, 0.5)), InitialValue(deviation=0.5)),
    "a whole behind a part": (
        linear(lambda weight: weight[0].zero_(), lambda weight: weight.normal_(0, 0.5)),
        InitialValue(deviation=0.5),
    ),
    "an embedding with its padding": (embedding, InitialValue(deviation=0.25)),
}
UNKNOWN = {
    "as it comes": (held(lambda: torch.empty(2)), "empty"),
    "uniform": (linear(lambda weight: weight.uniform_()), "uniform_"),
    "normal around one": (linear(lambda weight: weight.normal_(1, 0.5)), "normal_"),
    "in part": (linear(lambda weight: weight.normal_(0, 0.5), lambda weight: weight[0].zero_()), "a change of a part"),
}


def start_of(make):
    with InitialValues() as initial, torch.device("meta"):
        model = nn.Module()
        model.inner = make()
    return initial.of(model, "inner.weight")


@pytest.mark.parametrize(("make", "start"), KNOWN.values(), ids=KNOWN)
def test_a_start_that_is_known_is_told(make, start):
    assert start_of(make) == start


@pytest.mark.parametrize(("make", "last"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_start_that_is_not_known_is_refused_with_what_was_done_last(make, last):
    with pytest.raises(ConfigError, match=rf"^inner\.weight would be new.* initialisation does is {last}\.$"):
        start_of(make)
