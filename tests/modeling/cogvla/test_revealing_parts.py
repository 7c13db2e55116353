"""Weights that nobody looks at behind a prediction show in it where they are not finite, or have no part in it."""

import pytest
import torch

from vlahub.errors import NonFiniteError
from vlahub.modeling.cogvla.revealing_parts import revealing_layers
from vlahub.modeling.finite_predictions import unrevealed_on_cpu

VALUES = [float("nan"), float("inf"), -float("inf")]
KINDS = {
    "l1": {"action_head": "l1"},
    "diffusion": {"action_head": "diffusion", "num_inference_steps": 2},
    "discrete": {"action_head": "discrete"},
    "token by token": {"action_head": "discrete", "action_attention": "causal"},
    "eager": {"attn_implementation": "eager"},
    "bidirectional": {"action_attention": "bidirectional"},
    "all tokens, unpruned": {"use_lfp": False, "use_aggr": False},
    "joined channels": {"vision_aggregate_type": "concat", "use_film": False},
    "most pruned": {"lfp_type": "deep_all", "lfp_average_factor": 0.2},
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in KINDS if name != "l1"]


@pytest.fixture
def made(tiny_model, tiny_batch):
    """`made("l1")` -> a model and the arguments of a prediction for two samples of different lengths."""

    def make(kind):
        model = tiny_model(**KINDS[kind])
        return model, tiny_batch(model.config, lengths=(5, 7)).prediction((0, 1))

    return make


def known_parameters(model):
    """By name, those of `revealing_layers`."""
    known = {id(each) for layer in revealing_layers(model) for each in layer.parameters()}
    return {name: each for name, each in model.named_parameters() if id(each) in known}


@pytest.mark.parametrize("fused", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["l1", *SLOW])
def test_whatever_is_not_looked_at_reveals_itself_or_has_no_part(kind, fused, made):
    model, inputs = made(kind)
    if fused:
        model.fuse_projections()
    wanted, silent = model.predict_action(**inputs), set()
    for name, parameter in known_parameters(model).items():
        for value, at in zip(VALUES, (0, -1, len(parameter.view(-1)) // 2), strict=True):
            place = parameter.data.view(-1)[at]
            kept = place.clone()
            place.fill_(value)
            try:
                assert torch.equal(model.predict_action(**inputs), wanted), name
                silent.add(name)
            except NonFiniteError as error:
                assert name in str(error)
            place.copy_(kept)
    reads_logits = model.config.action_head == "discrete"
    assert silent == (set() if reads_logits else {"language_model.lm_head.weight"})


def test_most_weights_are_not_looked_at(made):
    model, _ = made("l1")
    known, looked_at = known_parameters(model), {id(each) for each in unrevealed_on_cpu(model, revealing_layers(model))}
    names = {name for name, each in model.named_parameters() if id(each) not in looked_at}
    assert names == set(known)
    for part in ("mlp.down_proj", "self_attn.v_proj", "film.scale", "attn.proj", "lm_head"):
        assert any(part in name for name in names)
    for part in ("q_proj", "k_proj", "qkv", "router", "action_head", "norm", "embed_tokens"):
        assert not any(part in name for name in names)


def hide_products(layer):
    layer.register_forward_hook(lambda module, arguments, output: output.nan_to_num(0, 0, 0))


@pytest.mark.parametrize("part", ["self_attn.v_proj", "mlp.gate_proj"])
@pytest.mark.parametrize("change", ["hook of the layer", "hook of its block", "another activation"])
def test_layers_that_do_something_else_are_looked_at(change, part, made):
    model, inputs = made("l1")
    block = model.language_model.model.layers[-1]
    linear = block.get_submodule(part)
    if change == "another activation":
        block.mlp.act_fn = torch.nn.ReLU()
    else:
        hide_products(linear if change == "hook of the layer" else block)
    assert model.predict_action(**inputs).isfinite().all()
    linear.weight.data[0] = -float("inf")
    with pytest.raises(NonFiniteError, match=f"computed from.*{part}"):
        model.predict_action(**inputs)


class Hiding:
    """Mixed into a class: what it returns is finite."""

    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs).nan_to_num(0, 0, 0)


HIDDEN_IN_TOWERS = {
    "attention": ("blocks.0.attn", "attn.proj"),
    "MLP": ("blocks.0.mlp", "mlp.fc1"),
    "the block": ("blocks.0", "mlp.fc2"),
    "FiLM": ("blocks.0.film.scale", "film.scale"),
    "the tower": ("", "mlp.fc2"),
}


@pytest.mark.parametrize("how", ["hook", "another class"])
@pytest.mark.parametrize("hiding", HIDDEN_IN_TOWERS)
def test_parts_of_towers_that_do_something_else_are_looked_at(hiding, how, made):
    model, inputs = made("l1")
    name, part = HIDDEN_IN_TOWERS[hiding]
    tower = model.vision_backbone.featurizer
    module = tower.get_submodule(name)
    if how == "hook":
        hide_products(module)
    else:
        module.__class__ = type("Other", (Hiding, type(module)), {})
    assert model.predict_action(**inputs).isfinite().all()
    tower.blocks[0].get_submodule(part).weight.data.view(-1)[0] = float("nan")
    with pytest.raises(NonFiniteError, match=f"computed from.*{part}"):
        model.predict_action(**inputs)
