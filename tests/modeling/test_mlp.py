"""The MLP: what it computes, and that a prediction's saving of memory is seen by nobody."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vlahub.modeling.mlp import MLP, gelu_of


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return MLP(3, 5, 7)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_predictions_and_trainings_are_the_same_arithmetic(layer, with_gradients):
    features = torch.randn(2, 4, 3)
    with torch.set_grad_enabled(with_gradients):
        assert torch.equal(layer(features), layer.fc2(F.gelu(layer.fc1(features))))


def test_gradients_are_those_of_gelu(layer):
    features = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.double(), features)


@torch.no_grad()
def test_a_hook_keeps_the_product_before_the_gelu(layer):
    seen = []
    layer.fc1.register_forward_hook(lambda module, arguments, output: seen.append(output))
    features = torch.randn(2, 3)
    layer(features)
    assert torch.equal(seen[0], F.linear(features, layer.fc1.weight, layer.fc1.bias))


@torch.no_grad()
def test_a_layer_that_hands_its_input_on_leaves_it_as_it_was():
    features = torch.randn(2, 3)
    kept = features.clone()
    assert torch.equal(gelu_of(nn.Identity(), features), F.gelu(kept))
    assert torch.equal(features, kept)
