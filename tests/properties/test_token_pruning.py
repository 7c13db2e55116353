"""Which vision tokens a layer keeps, and what it makes of them, against lists of Python and a layer of transformers."""

import math

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats, numbers, padding_masks
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm, LlamaRotaryEmbedding

from vlahub.configuration.cogvla.pruning_schedule import lfp_keep_ratios
from vlahub.modeling.cogvla.pruned_language_model import parallel_decoding_mask
from vlahub.modeling.cogvla.token_pruning import (
    LFPDecoderLayer,
    Pruning,
    highest_scored,
    kept_places,
    replace_vision,
    restore,
    select,
)
from vlahub.modeling.moe_aggregator import MoEAggregator

SIZE = 16
SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.5, 0.75]), min_size=1, max_size=12)  # equal ones are common


def llama(implementation="sdpa"):
    config = LlamaConfig(
        hidden_size=SIZE, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2
    )
    config._attn_implementation = implementation
    return config


@pytest.fixture(scope="session")
def layers():
    """`{(film, implementation): layer}` with random weights; `keep_ratio` is set by each example."""
    made = {}
    for film in (False, True):
        for implementation in ("sdpa", "eager"):
            torch.manual_seed(0)
            layer = LFPDecoderLayer(llama(implementation), 0, 0.5, film).eval()
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.normal_(std=0.3)
            made[film, implementation] = layer
    return made


@given(SCORES, st.floats(0, 1), st.sampled_from([torch.float32, torch.bfloat16]))
def test_the_highest_scores_stay_the_first_of_equal_ones_before_others(scores, ratio, dtype):
    found = highest_scored(torch.tensor([scores, scores[::-1]], dtype=dtype), ratio)
    for row, own in zip(found.tolist(), (scores, scores[::-1]), strict=True):
        by_score = sorted(range(len(own)), key=lambda i: (-own[i], i))
        assert row == sorted(by_score[: math.floor(len(own) * ratio)])


@given(st.integers(1, 3), st.integers(0, 6), st.integers(0, 4), st.data(), SEEDS)
def test_what_is_selected_is_put_back_where_it_was(batch, vision, behind, data, seed):
    count = data.draw(st.integers(0, vision))
    kept = [sorted(data.draw(st.permutations(range(vision)))[:count]) for _ in range(batch)]
    states = numbers(seed, batch, 1 + vision + behind, 3)
    everywhere = torch.arange(states.shape[1])[None]
    places = kept_places(torch.tensor(kept, dtype=torch.long).view(batch, count), vision, everywhere)
    part = select(states, places)
    for row in range(batch):
        wanted = [0, *(1 + i for i in kept[row]), *range(1 + vision, 1 + vision + behind)]
        assert places[row].tolist() == wanted
        assert torch.equal(part[row], states[row][wanted])
    assert torch.equal(restore(states, part, places), states)
    dropped = torch.ones(states.shape[:2], dtype=torch.bool).scatter(1, places, False)
    assert torch.equal((restore(states, part + 1, places) == states).all(dim=-1), dropped)
    other = numbers(seed + 1, batch, vision, 3)
    replaced = replace_vision(states, other)
    assert torch.equal(replaced[:, 1 : 1 + vision], other)
    assert torch.equal(
        replaced[:, [0, *range(1 + vision, states.shape[1])]], states[:, [0, *range(1 + vision, states.shape[1])]]
    )


@given(
    padding_masks(least=5, most=10, rows=3, side="right"), st.integers(1, 5), floats(0, 1), st.booleans(),
    st.sampled_from(["sdpa", "eager"]), st.sampled_from(["causal", "block", "bidirectional"]), SEEDS,
)  # fmt: skip
def test_a_pruning_layer_is_a_layer_over_the_tokens_that_it_keeps(
    layers, text, vision, ratio, film, implementation, mode, seed
):
    """The text (BOS, prompt, two tokens of a block) is padded; sample by sample, with a list of the kept tokens."""
    layer = layers[film, implementation]
    layer.keep_ratio = ratio
    batch = len(text)
    real = torch.cat([text[:, :1], torch.ones(batch, vision, dtype=torch.bool), text[:, 1:]], dim=1)
    lengths = real.sum(dim=1, keepdim=True)
    places = torch.arange(real.shape[1])[None]
    block = real & (places >= lengths - 2)
    prompt = real & (places > vision) & ~block
    states = numbers(seed, batch, real.shape[1], SIZE)
    rotary = LlamaRotaryEmbedding(layer.self_attn.config)(states, places)
    mask = parallel_decoding_mask(real, block, mode, torch.float32, implementation)
    pruning = Pruning(vision, prompt)
    with torch.no_grad():
        found = layer(states, mask, rotary, pruning=pruning)
        for row in range(batch):
            length = int(lengths[row])
            allowed = parallel_decoding_mask(real[row : row + 1], block[row : row + 1], mode, torch.float32, "sdpa")
            wanted, kept = one_sample(layer, states[row, :length], allowed[0, 0], prompt[row, :length], vision, ratio)
            assert pruning.kept[0][row].tolist() == kept
            torch.testing.assert_close(found[row, :length], wanted, atol=2e-5, rtol=2e-5)


def one_sample(layer, states, allowed, prompt, vision, ratio):
    """(length, size) -> what the layer makes of it, and the numbers of the kept vision tokens."""
    config = llama("eager")
    attention, mlp = LlamaAttention(config, 0), LlamaMLP(config)
    norms = [LlamaRMSNorm(SIZE, config.rms_norm_eps) for _ in range(2)]
    parts = (layer.self_attn, layer.mlp, layer.input_layernorm, layer.post_attention_layernorm)
    for stock, ours in zip((attention, mlp, *norms), parts, strict=True):
        stock.load_state_dict(ours.state_dict())
    normed = norms[0](states)
    judged = normed.clone()
    if layer.router.scale is not None:
        mean = normed[prompt].mean(dim=0)
        judged[1 : 1 + vision] = judged[1 : 1 + vision] * (1 + layer.router.scale(mean)) + layer.router.shift(mean)
    logits = layer.router.router(judged).double()
    scores = 1 / (1 + (logits[:, 0] - logits[:, 1]).exp())
    of_vision = scores[1 : 1 + vision].tolist()
    assume(len({round(score, 5) for score in of_vision}) == vision)  # which of two nearly equal ones is rounding's
    kept = sorted(sorted(range(vision), key=lambda i: -of_vision[i])[: math.floor(vision * ratio)])
    taken = [0, *(1 + i for i in kept), *range(1 + vision, len(states))]
    # Among kept tokens who sees whom goes by the order; the mask's own numbers are those of places further behind.
    new = torch.arange(len(taken))
    inside = allowed[taken][:, taken].clone()
    rows = torch.zeros(1, 1, len(taken), len(taken)).masked_fill(~inside, torch.finfo(torch.float32).min)
    rotary = LlamaRotaryEmbedding(config)(states[None], new[None])
    mixed = attention(normed[taken][None], attention_mask=rows, position_embeddings=rotary)[0][0]
    after = states[taken] + mixed
    after = after + mlp(norms[1](after)) * scores[taken].float()[:, None]
    output = states.clone()
    output[taken] = after
    return output, kept


@given(
    st.sampled_from(["shiftedcos", "shiftedlinear"]), floats(0.3, 1), floats(0, 0.3), floats(0.1, 0.9),
    st.integers(1, 40), st.integers(2, 40),
)  # fmt: skip
def test_a_schedule_falls_from_its_largest_ratio_to_its_smallest(kind, highest, lowest, average, depth, schedule):
    highest, lowest = round(highest, 3), round(lowest, 3)
    found = lfp_keep_ratios(f"{kind}_decay_{highest}_{lowest}", average, depth, schedule)
    turn = np.arange(depth) / (schedule - 1)
    fall = np.cos(np.pi * turn) / 2 if kind == "shiftedcos" else 0.5 - turn
    wanted = np.maximum(fall + average, lowest)
    layers = [i for i in range(depth) if wanted[i] <= highest]
    assume(all(abs(ratio - highest) > 1e-9 for ratio in wanted))  # there rounding decides
    assert list(found) == layers
    np.testing.assert_allclose(list(found.values()), wanted[layers], rtol=1e-12)


@given(st.integers(1, 3), st.integers(1, 4), SEEDS)
def test_two_towers_are_added_by_shares_that_sum_to_one(batch, tokens, seed):
    torch.manual_seed(seed % 2**31)
    aggregator = MoEAggregator(6, 8, 10)
    first, second, condition = (
        numbers(seed + i, batch, *shape) for i, shape in enumerate([(tokens, 6), (tokens, 8), (10,)])
    )
    with torch.no_grad():
        found, ratios = aggregator(first, second, condition)
        logits = aggregator.router(condition).double().numpy()
        parts = [
            aggregator.featurizer_proj(first).double().numpy(),
            aggregator.fused_featurizer_proj(second).double().numpy(),
        ]
    share = np.exp(logits - logits.max(axis=-1, keepdims=True))
    share /= share.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(ratios.numpy(), share, atol=1e-6)
    wanted = sum(part * share[:, i, None, None] for i, part in enumerate(parts))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
