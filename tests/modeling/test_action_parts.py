"""The small parts around the language model, each against its formula: units, tokens, diffusion, fusion, FiLM."""

import copy
import math

import numpy as np
import pytest
import torch
from host_waits import HostWaits

from vlahub import actions_to_tokens, tokens_to_actions
from vlahub.errors import InputError
from vlahub.modeling.action_normalization import affine_terms, find_statistics, in_robot_units, normalize, unnormalize
from vlahub.modeling.cogvla.ddim import add_noise, ddim_step, signal_levels, sinusoidal_embedding
from vlahub.modeling.film import FiLM, modulate
from vlahub.modeling.masking import masked_mean
from vlahub.modeling.moe_aggregator import MoEAggregator

STATISTICS = {
    "min": [-2.0, 0.0, -3.0],
    "max": [4.0, 0.5, 1.0],
    "q01": [-1.5, 0.1, -0.9],
    "q99": [3.0, 0.4, 0.9],
    "mean": [0.5, 0.2, 0.0],
    "std": [1.2, 0.1, 0.4],
    "mask": [True, True, False],
}
TYPES = {"bounds": ("min", "max"), "bounds_q99": ("q01", "q99")}
every_type = pytest.mark.parametrize("normalization_type", [*TYPES, "normal"])


def random(*shape, low=-1.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(0))


# ---- units


@every_type
def test_normalize_and_unnormalize_are_inverse(normalization_type):
    values = random(5, 2, 3)
    units = unnormalize(values, STATISTICS, normalization_type)
    torch.testing.assert_close(normalize(units, STATISTICS, normalization_type), values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normalization_type", TYPES)
def test_unnormalized_bounds_are_those_of_the_statistics(normalization_type):
    low, high = (torch.tensor(STATISTICS[name]) for name in TYPES[normalization_type])
    ends = torch.tensor([[-1.0] * 3, [1.0] * 3, [0.0] * 3])
    units = unnormalize(ends, STATISTICS, normalization_type)
    torch.testing.assert_close(units[:, :2], torch.stack([low, high, (low + high) / 2])[:, :2])


def test_normal_statistics_scale_by_standard_deviations():
    units = unnormalize(torch.tensor([2.0, -3.0, 0.7]), STATISTICS, "normal")
    torch.testing.assert_close(units, torch.tensor([0.5 + 2 * 1.2, 0.2 - 3 * 0.1, 0.7]))


@every_type
def test_masked_dimensions_pass_unchanged(normalization_type):
    values = random(4, 3)
    for function in (normalize, unnormalize):
        assert torch.equal(function(values, STATISTICS, normalization_type)[:, 2], values[:, 2])


@every_type
def test_statistics_without_a_mask_apply_everywhere(normalization_type):
    unmasked = {name: values for name, values in STATISTICS.items() if name != "mask"}
    everywhere = {**STATISTICS, "mask": [True] * 3}
    values = random(4, 3)
    result = unnormalize(values, unmasked, normalization_type)
    assert torch.equal(result, unnormalize(values, everywhere, normalization_type))
    assert not torch.equal(result, unnormalize(values, STATISTICS, normalization_type))


def published(values, low, high):
    """moojink/openvla-oft, experiments/robot/openvla_utils.py, `normalize_proprio`: numpy, float64."""
    low, high = np.array(low), np.array(high)
    return np.clip(2 * (values - low) / (high - low + 1e-8) - 1, -1, 1)


CONSTANTS = [0.0, 0.3, -0.3, 1.0, 1e-3, -7.77, 1234.567, -1e6, 16777216.0]


@pytest.mark.parametrize("rounded", ["neither", "values", "statistics"])
@every_type
def test_a_constant_becomes_its_lower_bound_exactly_and_comes_back(normalization_type, rounded):
    value = np.array(CONSTANTS)
    constant = value.astype(np.float32).astype(float) if rounded == "statistics" else value
    spread = np.zeros(len(value))
    names = {"bounds": ("min", "max"), "bounds_q99": ("q01", "q99"), "normal": ("mean", "std")}[normalization_type]
    second = spread if normalization_type == "normal" else constant
    statistics = {names[0]: constant.tolist(), names[1]: second.tolist()}
    dtype = torch.float64 if rounded == "neither" else torch.float32
    found = normalize(torch.tensor(value, dtype=dtype).expand(2, -1), statistics, normalization_type)
    assert found.dtype == torch.float32
    assert (found == (0 if normalization_type == "normal" else -1)).all(), found
    units = unnormalize(found, statistics, normalization_type)
    assert torch.equal(units, torch.tensor(constant, dtype=torch.float32).expand(2, -1))


@pytest.mark.parametrize("normalization_type", TYPES)
def test_units_are_those_of_the_published_formula_in_float64(normalization_type):
    low, high = [-1.0, 1000.0, 0.05, 300.0, 1e-9], [2.0, 1000.05, 0.05000001, 301.0, 3e-9]
    statistics = dict(zip(TYPES[normalization_type], (low, high), strict=True))
    share = np.linspace(-0.2, 1.2, 15)[:, None]
    values = np.array(low) + share * (np.array(high) - low)
    found = normalize(torch.from_numpy(values), statistics, normalization_type)
    assert torch.equal(found, torch.from_numpy(published(values, low, high)).float())
    normalised = found.double().numpy()
    units = 0.5 * (normalised + 1) * (np.array(high) - low + 1e-8) + low
    assert torch.equal(unnormalize(found, statistics, normalization_type), torch.from_numpy(units).float())


def test_standard_scores_are_those_of_the_formula_in_float64_also_where_nothing_varies():
    mean, std = np.array([0.0, 0.0, 0.5, 1000.0, 0.0]), np.array([0.0, 1e-9, 0.5, 0.05, 0.0])
    scores = np.linspace(-3, 3, 7)[:, None] + np.zeros(5)
    values = mean + scores * (std + 1e-8)
    statistics = {"mean": mean.tolist(), "std": std.tolist()}
    found = normalize(torch.from_numpy(values), statistics, "normal")
    assert torch.equal(found, torch.from_numpy((values - mean) / (std + 1e-8)).float())
    assert found[:, 0].tolist() == pytest.approx(scores[:, 0].tolist())
    units = found.double().numpy() * (std + 1e-8) + mean
    assert torch.equal(unnormalize(found, statistics, "normal"), torch.from_numpy(units).float())


def test_the_state_is_clipped_to_the_range_and_standard_scores_are_not():
    far = torch.tensor([100.0, -100.0, 7.0])
    for normalization_type in TYPES:
        assert normalize(far, STATISTICS, normalization_type).tolist() == [1.0, -1.0, 1.0]
    assert normalize(far, STATISTICS, "normal").abs().min() > 1


def test_a_constant_dimension_is_finite_both_ways():
    statistics = {"min": [0.3], "max": [0.3]}
    assert unnormalize(torch.tensor([0.8]), statistics, "bounds").item() == pytest.approx(0.3)
    assert normalize(torch.tensor([0.3]), statistics, "bounds").isfinite().all()


def test_units_are_float32_whatever_the_model_computes_in():
    values = random(4, 3).bfloat16()
    assert unnormalize(values, STATISTICS, "bounds").dtype == torch.float32


@pytest.mark.parametrize("key", ["bridge", None])
def test_an_unknown_or_ambiguous_key_lists_the_choices(key):
    with pytest.raises(InputError, match=r"^unnorm_key.*choices: aloha, libero"):
        find_statistics({"libero": STATISTICS, "aloha": STATISTICS}, key)


@pytest.mark.parametrize("key", ["bridge", None])
def test_a_checkpoint_without_statistics_says_so(key):
    with pytest.raises(InputError, match=r"^unnorm_key.*holds no statistics"):
        find_statistics({}, key)


def test_the_only_dataset_needs_no_key():
    assert find_statistics({"libero": STATISTICS}, None) is STATISTICS
    assert find_statistics({"libero": STATISTICS, "aloha": {}}, "libero") is STATISTICS


# ---- tokens

VOCAB, BINS = 32000, 256
EDGES = np.linspace(-1, 1, BINS).astype(np.float32)


def test_action_tokens_are_those_of_numpy_digitize():
    values = np.concatenate([random(2000, low=-1.3, high=1.3).numpy(), EDGES, [-1.0, 1.0, 5.0]]).astype(np.float32)
    wanted = VOCAB - np.digitize(np.clip(values, -1, 1), EDGES)
    assert actions_to_tokens(torch.from_numpy(values), VOCAB, BINS).tolist() == wanted.tolist()


@pytest.mark.parametrize("bins", [256, 3, 16001])
def test_a_value_comes_back_within_half_a_bin(bins):
    values = torch.cat([random(2000), torch.tensor([-1.0, 1.0])])
    back = tokens_to_actions(actions_to_tokens(values, VOCAB, bins), VOCAB, bins)
    assert (back - values).abs().max() <= 1 / (bins - 1) + 1e-6


def test_every_bin_has_a_token_of_its_own_that_comes_back():
    tokens = torch.arange(VOCAB - BINS + 1, VOCAB)
    actions = tokens_to_actions(tokens, VOCAB, BINS)
    assert (actions.diff() < 0).all()
    assert torch.equal(actions_to_tokens(actions, VOCAB, BINS), tokens)
    centres = (EDGES[1:].astype(np.float64) + EDGES[:-1]) / 2
    np.testing.assert_allclose(actions.flip(0), centres, atol=1e-7)


def test_tokens_outside_the_bins_count_as_the_nearest():
    ids = torch.tensor([[0, VOCAB - BINS, VOCAB - BINS + 1], [VOCAB - 1, VOCAB, VOCAB + 63]])
    values = tokens_to_actions(ids, VOCAB, BINS)
    end = 1 - 1 / (BINS - 1)
    torch.testing.assert_close(values, torch.tensor([[end] * 3, [-end] * 3]))


# ---- diffusion


def published_levels(steps):
    """`squaredcos_cap_v2` as diffusers has it: slopes limited in float64, products of float32 numbers."""
    t = np.arange(steps + 1, dtype=np.float64) / steps
    curve = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - curve[1:] / curve[:-1], 0.999).astype(np.float32)
    return np.cumprod((np.float32(1) - betas).astype(np.float64))


@pytest.mark.parametrize("steps", [1, 4, 50, 100])
def test_signal_levels_follow_the_published_formula(steps):
    np.testing.assert_allclose(signal_levels(steps), published_levels(steps), rtol=1e-6)


def test_noise_is_added_by_the_level_of_each_sample():
    clean, noise, steps = random(3, 2, 4), random(3, 2, 4).flip(0), torch.tensor([0, 49, 99])
    noised = add_noise(clean, noise, steps, signal_levels(100))
    for i, step in enumerate(steps):
        level = published_levels(100)[step]
        wanted = math.sqrt(level) * clean[i].double() + math.sqrt(1 - level) * noise[i].double()
        torch.testing.assert_close(noised[i].double(), wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("step", [99, 50, 1, 0])
def test_a_ddim_step_follows_the_published_formula(step):
    sample, noise, levels = random(2, 8, 7) * 2, random(2, 8, 7).flip(0), published_levels(100)
    before = levels[step - 1] if step else 1.0
    clean = (sample.double() - np.sqrt(1 - levels[step]) * noise.double()) / np.sqrt(levels[step])
    assert step == 0 or (clean.abs() > 1).any()  # the estimate is clipped
    wanted = np.sqrt(before) * clean.clamp(-1, 1) + np.sqrt(1 - before) * noise.double()
    torch.testing.assert_close(
        ddim_step(sample, noise, signal_levels(100), step).double(), wanted, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_perfect_noise_predictions_lead_back_to_the_clean_sample(steps):
    clean, noise = random(2, 8, 7), torch.randn(2, 8, 7, generator=torch.Generator().manual_seed(1))
    sample = add_noise(clean, noise, torch.full((2,), steps - 1), signal_levels(steps))
    for step in reversed(range(steps)):
        sample = ddim_step(sample, noise, signal_levels(steps), step)
    torch.testing.assert_close(sample, clean, atol=1e-3, rtol=1e-3)


def test_time_embeddings_are_sines_then_cosines_down_to_a_ten_thousandth():
    times = np.array([0, 1, 57], dtype=np.float64)
    frequencies = 10000.0 ** (-np.arange(16) / 15)
    angles = times[:, None] * frequencies
    wanted = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(sinusoidal_embedding(torch.from_numpy(times), 32), wanted, atol=1e-5)


# ---- conditioning and fusion


def test_the_weights_of_the_towers_add_up_to_one_and_weigh_their_projections():
    torch.manual_seed(0)
    fusion = MoEAggregator(6, 10, 16)
    features, fused, condition = random(3, 5, 6), random(3, 5, 10), random(3, 16, high=9.0)
    with torch.no_grad():
        tokens, ratios = fusion(features, fused, condition)
        torch.testing.assert_close(ratios.sum(dim=1), torch.ones(3))
        for i in range(3):
            first, second = fusion.router(condition[i]).exp()
            one, two = fusion.featurizer_proj(features[i]), fusion.fused_featurizer_proj(fused[i])
            wanted = (first * one + second * two) / (first + second)
            torch.testing.assert_close(tokens[i], wanted, atol=1e-6, rtol=1e-5)
    assert ratios.std(dim=0).min() > 1e-3


def test_film_scales_and_shifts_all_views_of_a_sample_alike():
    torch.manual_seed(0)
    film, condition, tokens = FiLM(16, 6), random(2, 16), random(4, 5, 6)
    with torch.no_grad():
        output = modulate(tokens, *film(condition))
        for image in range(4):
            scale, shift = film.scale(condition[image // 2]), film.shift(condition[image // 2])
            torch.testing.assert_close(output[image], tokens[image] * (1 + scale) + shift)


def test_a_masked_mean_leaves_out_what_the_mask_does():
    states, mask = random(2, 4, 3), torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]]).bool()
    wanted = torch.stack([x[m].mean(dim=0, keepdim=True) for x, m in zip(states, mask, strict=True)])
    torch.testing.assert_close(masked_mean(states, mask), wanted)


def test_terms_of_statistics_are_made_once_for_a_content_and_change_with_it():
    statistics = {name: [round(7 * x + 0.123, 3) if name != "mask" else x for x in v] for name, v in STATISTICS.items()}
    values = random(2, 3)
    for normalization_type in ("bounds", "normal"):
        first = unnormalize(values, statistics, normalization_type)
        with HostWaits() as waits:
            again = unnormalize(values, copy.deepcopy(statistics), normalization_type)
            normalize(first, statistics, normalization_type)
        assert not waits.found and torch.equal(again, first)
    terms = affine_terms(statistics, "bounds", values)
    assert torch.equal(in_robot_units(values, terms, "bounds"), unnormalize(values, statistics, "bounds"))
    statistics["max"][0] += 1
    assert not torch.equal(unnormalize(values, statistics, "bounds")[:, 0], first[:, 0])
    assert torch.equal(affine_terms(statistics, "bounds", values).span[1:], terms.span[1:])


def test_terms_made_in_inference_mode_serve_gradients():
    statistics = {"mean": [0.25, -7.5], "std": [3.5, 0.125]}
    with torch.inference_mode():
        unnormalize(torch.zeros(2), statistics, "normal")
    values = torch.zeros(2, requires_grad=True)
    unnormalize(values, statistics, "normal").sum().backward()
    assert values.grad.tolist() == pytest.approx([3.5, 0.125])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_shares_of_two_towers_are_float32_and_add_up_to_one(dtype):
    torch.manual_seed(0)
    parts = MoEAggregator(6, 4, 8).to(dtype)
    condition = torch.randn(16, 8).to(dtype)
    shares, exact = parts.ratios(condition), parts.router(condition).double().exp()
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.double(), exact / exact.sum(dim=-1, keepdim=True), rtol=1e-6, atol=0)
