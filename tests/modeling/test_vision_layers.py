"""Blocks of vision transformers: their formula, written out, and what of a config they follow."""

import pytest
import torch
import torch.nn.functional as F
from transformers import PretrainedConfig

from vlahub.modeling.film import FiLM
from vlahub.modeling.mlp import MLP
from vlahub.modeling.vision_layers import SwiGLU, VisionBlock

BATCH, TOKENS, WIDTH, HEADS, EPSILON = 2, 5, 12, 3, 0.5  # an epsilon that torch's would be told from
MLPS = {"gelu": lambda: MLP(WIDTH, WIDTH, 20), "swiglu": lambda: SwiGLU(WIDTH, 20)}


@pytest.fixture
def block(randomized):
    """`block(kind, film)`, with a scale for attention and another for the MLP."""

    def make(kind="gelu", film=True, implementation="sdpa"):
        config = PretrainedConfig(layer_norm_eps=EPSILON, attn_implementation=implementation)
        conditioned = FiLM(WIDTH, WIDTH) if film else None
        return randomized(VisionBlock(config, WIDTH, HEADS, MLPS[kind](), "gamma", conditioned)).eval()

    return make


def attention(module, x):
    query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in module.qkv(x).split(WIDTH, dim=-1))
    weights = (query @ key.mT / (WIDTH // HEADS) ** 0.5).softmax(dim=-1)
    return module.proj((weights @ value).transpose(1, 2).flatten(2))


def mlp(module, x):
    if isinstance(module, SwiGLU):
        gate, value = module.w12(x).split(20, dim=-1)
        return module.w3(gate * gate.sigmoid() * value)
    return module.fc2(F.gelu(module.fc1(x)))


def written_out(block, x, condition):
    y = F.layer_norm(x, (WIDTH,), block.norm1.weight, block.norm1.bias, EPSILON)
    x = x + block.ls1.gamma * attention(block.attn, y)
    if block.film is not None:
        x = x * (1 + block.film.scale(condition)[:, None]) + block.film.shift(condition)[:, None]
    y = F.layer_norm(x, (WIDTH,), block.norm2.weight, block.norm2.bias, EPSILON)
    return x + block.ls2.gamma * mlp(block.mlp, y)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("film", [False, True])
@pytest.mark.parametrize("kind", MLPS)
def test_a_block_is_its_formula_in_trainings_and_predictions(block, kind, film, gradients):
    made = block(kind, film)
    x, condition = torch.randn(BATCH, TOKENS, WIDTH), torch.randn(BATCH, WIDTH)
    with torch.set_grad_enabled(gradients):
        found, wanted = made(x, condition if film else None), written_out(made, x, condition)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_block_attends_as_its_config_says_also_where_that_changes(block, monkeypatch):
    made, fused, asked = block(implementation="eager"), F.scaled_dot_product_attention, []
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *args, **kw: asked.append(1) or fused(*args, **kw))
    x, condition = torch.randn(BATCH, TOKENS, WIDTH), torch.randn(BATCH, WIDTH)
    eager = made(x, condition)
    assert not asked
    made.attn.config._attn_implementation = "sdpa"
    torch.testing.assert_close(made(x, condition), eager, atol=1e-5, rtol=1e-5)
    assert asked


@torch.no_grad()
def test_terms_of_film_that_are_known_are_not_made_again_and_watched_scales_are_called(block):
    made, x, condition = block(), torch.randn(BATCH, TOKENS, WIDTH), torch.randn(BATCH, WIDTH)
    wanted, seen = made(x, condition), []
    assert made.ls1.gamma is not made.ls2.gamma
    for scale in (made.ls1, made.ls2):
        scale.register_forward_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(made(x, None, made.film(condition)), wanted, atol=1e-5, rtol=1e-5)
    assert seen == [1, 1]
