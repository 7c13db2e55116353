"""Token pruning (LFP): what it reduces to when nothing is pruned, and a slow reference when something is."""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel, LlamaRotaryEmbedding

from vlahub.configuration.cogvla.pruning_schedule import lfp_keep_ratios
from vlahub.errors import ConfigError
from vlahub.modeling.cogvla.action_sequence import with_action_block
from vlahub.modeling.cogvla.pruned_language_model import LanguageModelInputs, parallel_decoding_mask, with_noise
from vlahub.modeling.cogvla.token_pruning import (
    LFPDecoderLayer,
    LFPLlamaModel,
    Pruning,
    TokenRouter,
    highest_scored,
    kept_places,
    restore,
    select,
)

VISION, LENGTH = 8, 20
REAL_LENGTHS = (20, 16)


def llama_config(implementation="sdpa", **overrides):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, vocab_size=64, **{"num_key_value_heads": 2, **overrides})
    config._attn_implementation = implementation
    return config


def sequence(seed=0):
    """Two samples, the second with padding: states, bool masks of real, block and prompt tokens."""
    position = torch.arange(LENGTH).expand(2, -1)
    ends = torch.tensor(REAL_LENGTHS).unsqueeze(1)
    real = position < ends
    block = real & (position >= ends - 4)
    prompt = (position > VISION) & (position < ends - 4)
    states = torch.randn(2, LENGTH, 32, generator=torch.Generator().manual_seed(seed))
    return states, real, block, prompt


def rotary(config, states):
    positions = torch.arange(states.shape[1]).expand(states.shape[0], -1)
    return LlamaRotaryEmbedding(config)(states, positions)


def always_one(router):
    """A router whose score is exactly 1 whatever it sees."""
    with torch.no_grad():
        router.router.weight.zero_()
        router.router.bias.copy_(torch.tensor([-1e4, 1e4]))


# ---- what it reduces to


@pytest.mark.parametrize("film", [False, True])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_pruning_that_keeps_everything_with_score_one_is_a_llama_layer(implementation, film, randomized):
    config = llama_config(implementation)
    layer = randomized(LFPDecoderLayer(config, layer_idx=0, keep_ratio=1.0, film=film))
    always_one(layer.router)
    plain = LlamaDecoderLayer(config, layer_idx=0)
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if not k.startswith("router.")})
    states, real, block, prompt = sequence()
    mask = parallel_decoding_mask(real, block, "block", states.dtype)
    arguments = {"attention_mask": mask, "position_embeddings": rotary(config, states)}

    output = layer(states, pruning=Pruning(VISION, prompt), **arguments)
    torch.testing.assert_close(output, plain(states, **arguments), atol=1e-6, rtol=1e-6)
    assert not torch.allclose(output, states, atol=0.1)


@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
def test_a_model_without_pruning_layers_is_a_llama_model(key_value_heads, randomized):
    config = llama_config(num_key_value_heads=key_value_heads)
    ours = randomized(LFPLlamaModel(config, {}, film=True))
    plain = LlamaModel(config)
    plain.load_state_dict(ours.state_dict())
    states, real, block, prompt = sequence()
    mask = parallel_decoding_mask(real, block, "block", states.dtype)

    output = ours(inputs_embeds=states, attention_mask=mask, pruning=Pruning(VISION, prompt)).last_hidden_state
    assert torch.equal(output, plain(inputs_embeds=states, attention_mask=mask).last_hidden_state)


@pytest.mark.parametrize("film", [False, True])
@pytest.mark.parametrize("mode", ["causal", "block", "bidirectional"])
def test_the_model_equals_one_that_takes_tokens_out_of_a_list(mode, film, randomized, naive_llama):
    model = randomized(LFPLlamaModel(llama_config(), {0: 0.8, 1: 0.5, 2: 0.1}, film))
    states, real, block, prompt = sequence()
    mask = parallel_decoding_mask(real, block, mode, states.dtype)
    pruning = Pruning(VISION, prompt)

    with torch.no_grad():
        output = model(inputs_embeds=states, attention_mask=mask, pruning=pruning).last_hidden_state
        for sample, length in enumerate(REAL_LENGTHS):
            naive = naive_llama(model)
            allowed = mask[sample, 0, :length, :length] == 0
            wanted = naive.read(states[sample, :length], allowed, VISION, prompt[sample, :length])
            torch.testing.assert_close(output[sample, :length], wanted, atol=1e-5, rtol=1e-5)
            assert naive.kept == {layer: kept[sample].tolist() for layer, kept in pruning.kept.items()}
    assert [kept.shape[1] for kept in pruning.kept.values()] == [6, 4, 0]


# ---- which tokens


@pytest.mark.parametrize("ratio", [0.6, 0.1])
def test_dropped_tokens_pass_a_layer_unchanged_and_all_others_do_not(ratio, randomized):
    config = llama_config()
    layer = randomized(LFPDecoderLayer(config, layer_idx=0, keep_ratio=ratio, film=True))
    states, real, block, prompt = sequence()
    pruning = Pruning(VISION, prompt)
    mask = parallel_decoding_mask(real, block, "block", states.dtype)
    with torch.no_grad():
        output = layer(states, mask, rotary(config, states), pruning=pruning)

    unchanged = (output == states).all(dim=-1)
    for sample, kept in enumerate(pruning.kept[0].tolist()):
        dropped = [1 + j for j in range(VISION) if j not in kept]
        assert unchanged[sample].nonzero().flatten().tolist() == dropped


@pytest.mark.parametrize(
    "scores, ratio, kept",
    [
        ([0.5] * 6, 0.5, [0, 1, 2]),
        ([0.5, 0.9, 0.5, 0.5, 0.9], 0.6, [0, 1, 4]),
        ([0.1, 0.5, 0.2, 0.5, 0.5], 0.4, [1, 3]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ties_are_broken_by_position(scores, ratio, kept, dtype):
    assert highest_scored(torch.tensor([scores], dtype=dtype), ratio).tolist() == [kept]


def test_kept_tokens_are_the_best_ones_in_ascending_order():
    scores = torch.rand(4, 50, generator=torch.Generator().manual_seed(0))
    kept = highest_scored(scores, 0.3)
    assert torch.equal(kept, kept.sort(dim=1).values)
    for row, indices in zip(scores, kept, strict=True):
        assert set(indices.tolist()) == set(np.argsort(-row.numpy())[:15].tolist())


@pytest.mark.parametrize(
    "tokens, ratio, count", [(12, 0.15, 1), (4, 0.15, 0), (12, 1.0, 12), (12, 0.0, 0), (7, 0.5, 3)]
)
def test_the_number_of_kept_tokens_is_rounded_down_and_may_be_zero(tokens, ratio, count):
    assert highest_scored(torch.rand(2, tokens), ratio).shape == (2, count)


def test_selected_tokens_can_be_put_back():
    x = torch.randn(2, LENGTH, 3, generator=torch.Generator().manual_seed(0))
    kept = torch.tensor([[0, 3, 7], [1, 2, 4]])
    places = kept_places(kept, VISION, torch.arange(LENGTH).unsqueeze(0))
    selected = select(x, places)
    rows = [[0, 1, 4, 8, *range(9, LENGTH)], [0, 2, 3, 5, *range(9, LENGTH)]]
    for sample, row in enumerate(rows):
        assert torch.equal(selected[sample], x[sample, row])
    assert torch.equal(restore(x, selected, places), x)
    doubled = restore(x, 2 * selected, places)
    assert torch.equal(doubled[0, rows[0]], 2 * x[0, rows[0]])
    assert torch.equal(doubled[0, [2, 3, 5, 6, 7]], x[0, [2, 3, 5, 6, 7]])
    for one in (slice(0, 1), slice(1, 2)):  # a sample alone takes another way
        assert torch.equal(select(x[one], places[one]), selected[one])
        assert torch.equal(restore(x[one], 2 * selected[one], places[one]), doubled[one])


@pytest.mark.parametrize("mode", ["causal", "block", "bidirectional"])
def test_the_mask_among_kept_tokens_is_a_slice_of_the_whole_mask(mode):
    states, real, block, _ = sequence()
    mask = parallel_decoding_mask(real, block, mode, states.dtype)
    kept = highest_scored(torch.rand(2, VISION, generator=torch.Generator().manual_seed(0)), 0.5)
    places = kept_places(kept, VISION, torch.arange(LENGTH).unsqueeze(0))
    gathered = select(select(mask[:, 0], places).transpose(1, 2), places).transpose(1, 2)
    dropped = VISION - kept.shape[1]
    assert torch.equal(gathered, mask[:, 0, dropped:, dropped:])


# ---- scores


def test_the_film_router_equals_a_loop_over_samples_and_tokens(randomized):
    router = randomized(TokenRouter(32, film=True))
    states, _, _, prompt = sequence()
    with torch.no_grad():
        scores = router(states, Pruning(VISION, prompt))
        for sample in range(2):
            mean = states[sample][prompt[sample]].mean(dim=0)
            scale, shift = router.scale(mean), router.shift(mean)
            for token, x in enumerate(states[sample]):
                if 1 <= token <= VISION:
                    x = x * (1 + scale) + shift
                first, second = router.router(x).double().exp().tolist()
                assert math.isclose(scores[sample, token], second / (first + second), rel_tol=1e-5)


def test_scores_do_not_depend_on_padding(randomized):
    layer = randomized(TokenRouter(32, film=True))
    states, real, _, prompt = sequence()
    changed = torch.where(real.unsqueeze(-1), states, 100.0)
    with torch.no_grad():
        before, after = (layer(x, Pruning(VISION, prompt)) for x in (states, changed))
    torch.testing.assert_close(before[real], after[real])


def test_scores_are_float32_in_a_bfloat16_model(randomized):
    states, _, _, prompt = sequence()
    router = randomized(TokenRouter(32, film=True)).bfloat16()
    assert router(states.bfloat16(), Pruning(VISION, prompt)).dtype == torch.float32


# ---- schedules


def test_the_cosine_schedule_is_the_published_one():
    """Measured on the published code: layers and ratios of tests/golden/cogvla/full_3img.json."""
    wanted = [0.84448346, 0.806052991, 0.764482005, 0.720197076, 0.673652626, 0.625326266, 0.575713889, 0.525324584]
    wanted += [0.474675416, 0.424286111, 0.374673734, 0.326347374, 0.279802924, 0.235517995, 0.193947009, 0.15551654]
    wanted += [0.15] * 8
    ratios = lfp_keep_ratios("shiftedcos_decay_0.85_0.15", 0.5, num_layers=32, schedule_layers=32)
    assert list(ratios) == list(range(8, 32))
    np.testing.assert_allclose(list(ratios.values()), wanted, atol=1e-8)


def test_the_linear_schedule_of_a_shallow_model_follows_the_depth_of_the_schedule():
    """8 layers on a schedule of 32, as published: ratios fall from 0.8 to 0.574 only."""
    ratios = lfp_keep_ratios("shiftedlinear_decay_0.75_0.15", 0.3, num_layers=8, schedule_layers=32)
    assert ratios == pytest.approx({i: 0.8 - i / 31 for i in range(2, 8)})
    own = lfp_keep_ratios("shiftedlinear_decay_0.75_0.15", 0.3, num_layers=8, schedule_layers=8)
    assert own == pytest.approx(
        {1: 0.8 - 1 / 7, 2: 0.8 - 2 / 7, 3: 0.8 - 3 / 7, 4: 0.8 - 4 / 7, 5: 0.15, 6: 0.15, 7: 0.15}
    )


def test_a_layer_whose_ratio_is_the_largest_or_the_smallest_exactly_has_it():
    ratios = lfp_keep_ratios("shiftedlinear_decay_0.75_0.25", 0.5, num_layers=5, schedule_layers=5)
    assert ratios == {1: 0.75, 2: 0.5, 3: 0.25, 4: 0.25}


@pytest.mark.parametrize(
    "name, layers",
    [("deep_all", [2, 3, 4, 5]), ("deep_all_wo_last", [2, 3, 4]), ("interleave", [1, 3, 5])],
)
def test_a_fixed_schedule_keeps_the_same_share_in_its_layers(name, layers):
    assert lfp_keep_ratios(name, 0.4, num_layers=6, schedule_layers=32) == dict.fromkeys(layers, 0.4)


@pytest.mark.parametrize("name", ["", "shiftedcos", "shiftedcos_decay_0.85", "cos_decay_0.85_0.15", "deep_all_"])
def test_an_unknown_schedule_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"lfp_type {name!r}"):
        lfp_keep_ratios(name, 0.5, num_layers=8, schedule_layers=8)


@pytest.mark.parametrize("mode", ["causal", "block", "bidirectional"])
def test_the_attention_mask_equals_its_definition_token_by_token(mode):
    real = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]).bool()
    block = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]]).bool()
    mask = parallel_decoding_mask(real, block, mode, torch.float32)
    assert set(mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}
    for sample in range(2):
        for query in range(6):
            for key in range(6):
                open_block = mode == "block" and block[sample, query] and block[sample, key]
                visible = key <= query or open_block or mode == "bidirectional"
                assert (mask[sample, 0, query, key] == 0) == bool(visible and real[sample, key])


def test_a_denoising_step_replaces_the_action_tokens_and_the_time_alone():
    """Whatever follows, every sample's noise stands where its own action block is; the time comes last."""
    ids, real = torch.ones(2, 4, dtype=torch.long), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    sequence = with_action_block(ids, real, num_action_tokens=3, stop_token_id=2)
    text, prefix = torch.zeros(2, ids.shape[1] + 4, 5), torch.arange(30.0).reshape(2, 3, 5)
    noise, time = torch.randn(2, 3, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    step = with_noise(LanguageModelInputs(text, prefix, None, None, None), sequence, noise, time)
    assert {step.text_embeds.dtype, step.prefix.dtype} == {torch.float32}
    for row, first in enumerate((4, 2)):
        torch.testing.assert_close(step.text_embeds[row, first : first + 3], noise[row].float())
        assert not step.text_embeds[row, :first].any() and not step.text_embeds[row, first + 3 :].any()
    torch.testing.assert_close(step.prefix[:, -1], time.float())
    assert torch.equal(step.prefix[:, :-1], prefix[:, :-1]) and not text.any()
