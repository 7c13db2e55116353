"""A decoder layer in fewer kernels: the numbers of transformers' own layer, which runs wherever somebody watches it."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaModel, MistralConfig, MistralModel

from vlahub.modeling import decoder_layer_pass
from vlahub.modeling.decoder_layer_pass import grouped_attention, is_stock, pass_inputs, quick_layer, rms_norm
from vlahub.modeling.fused_linears import lay_side_by_side
from vlahub.modeling.masking import additive
from vlahub.modeling.stack_passes import KeyValueCollector, run_layer, run_prefix

BATCH, LENGTH, WIDTH = 2, 5, 24
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SIZES = {"hidden_size": WIDTH, "intermediate_size": 20, "vocab_size": 4, "num_hidden_layers": 2, "head_dim": 6}
KINDS = {
    "llama": (LlamaModel, LlamaConfig, {"num_attention_heads": 4, "num_key_value_heads": 4}),
    "groups and biases": (
        LlamaModel,
        LlamaConfig,
        {"num_attention_heads": 6, "num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True},
    ),
    "mistral": (MistralModel, MistralConfig, {"num_attention_heads": 4, "num_key_value_heads": 1}),
}
MASKS = {
    "none": None,
    "causal": torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(BATCH, 1, -1, -1),
    "padding": (torch.arange(LENGTH) < torch.tensor([[3], [5]]))[:, None, None].expand(-1, -1, LENGTH, -1),
}


@pytest.fixture
def stack(randomized):
    """`stack(kind="groups and biases", implementation="sdpa") -> (layers, states, rotary)`."""

    def make(kind="groups and biases", implementation="sdpa"):
        model, config, heads = KINDS[kind]
        made = randomized(model(config(**SIZES, **heads, attn_implementation=implementation))).eval()
        states = torch.randn(BATCH, LENGTH, WIDTH, generator=torch.Generator().manual_seed(3))
        return made.layers, states, made.rotary_emb(states, torch.tensor([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]]))

    return make


def stock_layer(layer, states, mask, rotary, collector):
    """As transformers runs it: nothing takes the place of a layer that trains or has gradients."""
    with torch.enable_grad():
        return run_layer(layer, states, pass_inputs(mask, rotary, states), collector).detach()


def laid(layers):
    for layer in layers:
        attention, mlp = layer.self_attn, layer.mlp
        lay_side_by_side([attention.q_proj, attention.k_proj, attention.v_proj])
        lay_side_by_side([mlp.gate_proj, mlp.up_proj])


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_states_keys_and_values_are_those_of_the_stock_layer(stack, kind, mask, together):
    layers, states, rotary = stack(kind)
    wanted = KeyValueCollector()
    output = stock_layer(layers[0], states, MASKS[mask], rotary, wanted)
    if together:
        laid(layers)
    assert is_stock(layers[0], states)
    for given in (MASKS[mask], None if MASKS[mask] is None else additive(MASKS[mask].squeeze(1), states.dtype)):
        found = KeyValueCollector()
        torch.testing.assert_close(
            quick_layer(layers[0], states, pass_inputs(given, rotary, states), found), output, atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(found.keys, wanted.keys.detach(), **CLOSE)
        torch.testing.assert_close(found.values, wanted.values.detach(), **CLOSE)


@torch.no_grad()
def test_in_bfloat16_it_differs_by_rounding_alone(stack):
    layers, states, rotary = stack()
    exact = stock_layer(layers[0], states, None, rotary, KeyValueCollector())
    layers.bfloat16()
    low, rotary = states.bfloat16(), tuple(part.bfloat16() for part in rotary)
    found = quick_layer(layers[0], low, pass_inputs(None, rotary, low), KeyValueCollector())
    stock = stock_layer(layers[0], low, None, rotary, KeyValueCollector())
    errors = [(each.float() - exact).abs().max() / exact.abs().max() for each in (found, stock)]
    assert errors[0] < 0.02 and errors[0] < 2 * errors[1]


class Kernels(TorchDispatchMode):
    """Counts what computes or copies; views and empty memory cost a device nothing."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        is_view = any(each.alias_info is not None and not each.alias_info.is_write for each in func._schema.returns)
        if not is_view and "empty" not in func.name() and "view" not in func.name():
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_it_takes_half_the_kernels_where_a_norm_is_one(stack, monkeypatch):
    """On CUDA torch's norm is one kernel; on a CPU it is several."""
    layers, states, rotary = stack("llama")
    laid(layers)
    inputs = pass_inputs(None, rotary, states)
    with Kernels() as stock:
        layers[0](states, position_embeddings=rotary)
    monkeypatch.setattr("torch.nn.functional.rms_norm", lambda x, *_: x + 1)
    with Kernels() as quick:
        quick_layer(layers[0], states, inputs, KeyValueCollector())
    assert len(quick.names) <= 14 and len(stock.names) > 2 * len(quick.names)


def watched_layer(layers):
    layers[1].register_forward_hook(lambda *_: None)


def watched_attention(layers):
    layers[1].self_attn.register_forward_pre_hook(lambda *_: None)


def wrapped_mlp(layers):
    layers[1].mlp.forward = layers[1].mlp.forward


def training(layers):
    layers[1].train()


def other_attention(layers):
    layers[1].self_attn.__class__ = type("OtherAttention", (type(layers[1].self_attn),), {})


def written_out(layers):
    layers[1].self_attn.config._attn_implementation = "eager"


@pytest.mark.parametrize(
    "change", [watched_layer, watched_attention, wrapped_mlp, training, other_attention, written_out]
)
def test_a_layer_that_is_watched_wrapped_trained_or_another_runs_as_it_is(stack, change):
    layers, states, _ = stack()
    with torch.no_grad():
        assert is_stock(layers[1], states)
        change(layers)
        assert not is_stock(layers[1], states)


def test_with_gradients_or_autocast_the_stock_layer_runs(stack):
    layers, states, _ = stack()
    assert not is_stock(layers[0], states)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_stock(layers[0], states)


@torch.no_grad()
def test_a_hook_or_a_wrapper_inside_of_the_layer_is_called(stack):
    """Projections (LoRA), norms and output projections of their own have a part in the quick layer."""
    layers, states, rotary = stack()
    layer, called = layers[0], []
    inside = ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm")
    for name in inside:
        layer.get_submodule(name).register_forward_hook(lambda *_, name=name: called.append(name))
    layer.self_attn.v_proj = nn.Sequential(layer.self_attn.v_proj, nn.Tanh())
    layer.post_attention_layernorm = nn.Identity()
    found = quick_layer(layer, states, pass_inputs(None, rotary, states), KeyValueCollector())
    assert sorted(called) == sorted(inside)
    wanted = stock_layer(layer, states, None, rotary, KeyValueCollector())
    torch.testing.assert_close(found, wanted, **CLOSE)


@torch.no_grad()
def test_a_stack_makes_its_mask_once_and_layers_of_both_kinds_go_together(stack, monkeypatch):
    layers, states, rotary = stack()
    wanted = run_prefix(layers, states, MASKS["padding"], rotary)[-1]
    made, inner = [], decoder_layer_pass.quick_layer
    monkeypatch.setattr(
        "vlahub.modeling.stack_passes.quick_layer",
        lambda layer, states, inputs, *rest: made.append(inputs.mask) or inner(layer, states, inputs, *rest),
    )
    layers[1].register_forward_hook(lambda *_: None)
    torch.testing.assert_close(run_prefix(layers, states, MASKS["padding"], rotary)[-1], wanted, **CLOSE)
    assert len(made) == 1 and made[0].dtype == torch.float32


@torch.no_grad()
def test_a_norm_in_another_dtype_than_the_states_is_the_norm_itself(stack):
    layers, states, _ = stack()
    norm = layers[0].input_layernorm
    assert torch.equal(rms_norm(norm, states.bfloat16()), norm(states.bfloat16()))
    torch.testing.assert_close(rms_norm(norm, states), norm(states))


@pytest.mark.parametrize("groups", [1, 3])
def test_scores_of_heads_that_share_keys_are_scaled_as_it_is_said(groups):
    query, key, value = torch.randn(2, 2 * groups, 5, 4), torch.randn(2, 2, 6, 4), torch.randn(2, 2, 6, 4)
    added = torch.randn(2, 1, 5, 6)
    repeated = (each.repeat_interleave(groups, 1) for each in (key, value))
    wanted = attention_by_hand(query, *repeated, added, 0.3)
    torch.testing.assert_close(grouped_attention(query, key, value, added, 0.3), wanted, **CLOSE)


def attention_by_hand(query, key, value, added, scale):
    return (query @ key.mT * scale + added).softmax(dim=-1) @ value
