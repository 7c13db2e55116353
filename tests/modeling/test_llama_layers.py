"""A Llama layer in fewer, larger kernels: the numbers of transformers' own, which runs wherever somebody watches it."""

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaModel

from vlahub.modeling.fused_linears import lay_side_by_side
from vlahub.modeling.llama_layers import LAYERS_CACHE, attended, decoder_layer, gated, normed, projections_of

BATCH, LENGTH, WIDTH = 2, 5, 24
EPSILON = 0.5  # one that a norm without it would be told from
SIZES = {"hidden_size": WIDTH, "intermediate_size": 20, "vocab_size": 4, "num_hidden_layers": 1, "head_dim": 6}
HEADS = {
    "heads": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "groups": {"num_attention_heads": 6, "num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True},
}


@pytest.fixture
def made(randomized):
    """`made(heads, implementation, together)` -> a layer, states, additive mask and rotary embedding."""

    def make(heads="groups", implementation="sdpa", together=True):
        config = LlamaConfig(**SIZES, **HEADS[heads], rms_norm_eps=EPSILON, attn_implementation=implementation)
        model = randomized(LlamaModel(config)).eval()
        states = torch.randn(BATCH, LENGTH, WIDTH, generator=torch.Generator().manual_seed(3))
        rotary = model.rotary_emb(states, torch.tensor([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]]))
        seen = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(BATCH, 1, -1, -1)
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        for linears in projections_of(model.layers[0]) if together else ():
            lay_side_by_side(linears)
        return model.layers[0], states, mask, rotary

    return make


def stock(layer, states, mask, rotary, **kwargs):
    found = layer(states, attention_mask=mask, position_embeddings=rotary, **kwargs)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("heads", HEADS)
@torch.no_grad()
def test_states_keys_and_values_are_those_of_the_stock_layer(made, heads, implementation, together):
    layer, *given = made(heads, implementation, together)
    caches = [DynamicCache(), DynamicCache()]
    wanted = stock(layer, *given, **{LAYERS_CACHE: caches[0]})
    found = decoder_layer(layer, *given, **{LAYERS_CACHE: caches[1]})
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    for name in ("keys", "values"):
        torch.testing.assert_close(*(getattr(cache.layers[0], name) for cache in caches), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_norm_in_another_dtype_than_the_states_is_the_norm_itself(made):
    layer, states, _, _ = made()
    norm = layer.input_layernorm
    assert torch.equal(normed(norm, states.bfloat16()), norm(states.bfloat16()))
    torch.testing.assert_close(normed(norm, states), norm(states))


PARTS = {
    "norm": lambda layer, states, mask, rotary: normed(layer.input_layernorm, states),
    "attention": lambda layer, states, mask, rotary: attended(layer.self_attn, states, mask, rotary),
    "mlp": lambda layer, states, mask, rotary: gated(layer.mlp, states),
}
NAMES = {"norm": "input_layernorm", "attention": "self_attn", "mlp": "mlp"}


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_a_part_that_is_watched_is_called(made, part):
    layer, *given = made()
    called = []
    layer.get_submodule(NAMES[part]).register_forward_hook(lambda *_: called.append(part))
    PARTS[part](layer, *given)
    assert called == [part]


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_a_part_of_a_derived_class_does_what_that_does(made, part):
    layer, *given = made()
    before = PARTS[part](layer, *given)
    module = layer.get_submodule(NAMES[part])

    class Doubled(type(module)):
        def forward(self, *args, **kwargs):
            found = super().forward(*args, **kwargs)
            return (2 * found[0], *found[1:]) if isinstance(found, tuple) else 2 * found

    module.__class__ = Doubled
    torch.testing.assert_close(PARTS[part](layer, *given), 2 * before, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_stock_layer(made):
    layer, *given = made()
    gradients = []
    for run in (stock, decoder_layer):
        layer.zero_grad()
        run(layer, *given).square().sum().backward()
        gradients.append([each.grad.clone() for each in layer.parameters()])
    torch.testing.assert_close(*gradients)
    assert all(each.abs().sum() > 0 for each in gradients[0])
