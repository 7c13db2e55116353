"""Actions as tokens and back: OpenVLA's bins, evenly spaced values, and SpatialVLA's grids."""

import math

import numpy as np
import pytest
import torch
from drawn import SEEDS, floats
from hypothesis import assume, given
from hypothesis import strategies as st

from vlahub.errors import InputError
from vlahub.modeling.action_tokens import actions_to_tokens, tokens_to_actions
from vlahub.processing.mapanything_llava3d.spatial_action_bins import RANGES
from vlahub.processing.mapanything_llava3d.spatial_action_tokenizer import (
    ActionTokenizer,
    SpatialActionTokenizer,
    cartesian,
    spherical,
)
from vlahub.processing.multimodal_vla.bin_ids import checked_bin_ids

BINS, VOCABULARY = st.integers(2, 300), st.integers(300, 40_000)
ACTIONS = st.lists(floats(-1.5, 1.5), min_size=1, max_size=8)


@given(ACTIONS, BINS, VOCABULARY)
def test_openvlas_tokens_are_those_of_its_own_lines(actions, bins, vocabulary):
    """`vocab_size - np.digitize(clip(action), bins)`, and `centres[clip(vocab_size - id - 1)]`."""
    edges = np.linspace(-1, 1, bins)
    values = np.clip(np.array(actions), -1, 1)
    assume(np.abs(values[:, None] - edges).min() > 1e-6 or set(np.abs(values)) <= {1.0})  # edges are float32 in a model
    tokens = actions_to_tokens(torch.tensor(actions), vocabulary, bins)
    assert tokens.tolist() == (vocabulary - np.digitize(values, edges)).tolist()
    centres = (edges[:-1] + edges[1:]) / 2
    wanted = centres[np.clip(vocabulary - tokens.numpy() - 1, 0, len(centres) - 1)]
    found = tokens_to_actions(tokens, vocabulary, bins).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert (np.abs(found - values) <= 1 / (bins - 1) + 1e-6).all()


@given(BINS, VOCABULARY)
def test_openvlas_bins_come_back_as_the_tokens_that_they_were(bins, vocabulary):
    tokens = vocabulary - torch.arange(1, bins)  # the last edge is a token of its own, of the value 1 alone
    assert torch.equal(actions_to_tokens(tokens_to_actions(tokens, vocabulary, bins), vocabulary, bins), tokens)
    ends = actions_to_tokens(torch.tensor([-1.0, 1.0, -9.0, 9.0]), vocabulary, bins)
    assert ends.tolist() == [vocabulary - 1, vocabulary - bins] * 2


@given(st.lists(st.integers(-9, 40_009), min_size=1, max_size=6), BINS, VOCABULARY)
def test_ids_of_no_bin_count_as_the_nearest_one(ids, bins, vocabulary):
    found = tokens_to_actions(torch.tensor(ids), vocabulary, bins)
    nearest = torch.tensor(ids).clamp(vocabulary - bins + 1, vocabulary - 1)
    assert torch.equal(found, tokens_to_actions(nearest, vocabulary, bins))


@given(ACTIONS, st.integers(2, 300), floats(-2, 0), floats(0.1, 3), st.integers(0, 999))
def test_evenly_spaced_values_are_found_again_and_others_rounded_up(actions, bins, low, width, first):
    tokenizer = ActionTokenizer(bins, low, low + width, first)
    ids = tokenizer.encode(np.array(actions))
    assert ((first <= ids) & (ids < first + bins)).all() and ids.dtype == np.int64
    inside = np.clip(actions, tokenizer.values[0], tokenizer.values[-1])
    above = tokenizer.decode(ids) - inside
    assert (above >= 0).all() and (above < width / (bins - 1) + 1e-9).all()
    every = np.arange(bins) + first
    assert np.array_equal(tokenizer.encode(tokenizer.decode(every)), every)


COUNTS = st.integers(1, 7)


@st.composite
def spatial(draw):
    """A tokenizer with even bins, bins of equal shares, or given ones; and of x, y and z themselves with given ones."""
    num_bins = {part: {axis: draw(COUNTS) for axis in axes} for part, axes in RANGES.items()}
    num_bins["gripper"] = draw(st.integers(2, 3))
    kind = draw(st.sampled_from(["even", "normal", "given"]))
    first = draw(st.integers(0, 5000))
    if kind == "even":
        return SpatialActionTokenizer(num_bins, first_token_id=first)
    if kind == "normal":
        fitted = {
            axis.removesuffix("_bins"): {"mu": draw(floats(-1, 2)), "sigma": draw(floats(0.25, 2))}
            for axes in RANGES.values()
            for axis in axes
        }
        return SpatialActionTokenizer(num_bins, gs_params=fitted, first_token_id=first)
    spherically = draw(st.booleans())
    policy = {
        part: {
            axis: np.linspace(*(ends if spherically or part == "rotation" else (-1, 1)), num_bins[part][axis] + 1)
            for axis, ends in axes.items()
        }
        for part, axes in RANGES.items()
    }
    return SpatialActionTokenizer(num_bins, None, policy, spherically, first_token_id=first)


def bin_of(value, edges):
    """The last bin whose lower edge is not above the value; values outside belong to the outermost ones."""
    inside = [i for i in range(len(edges) - 1) if edges[i] <= value]
    return max(inside, default=0)


@given(spatial(), st.lists(floats(-1.3, 1.3), min_size=7, max_size=7))
def test_a_spatial_token_is_the_cell_that_the_step_lies_in(tokenizer, action):
    action = np.array(action)
    ids = tokenizer.encode(action)
    cut = np.clip(action, -1, 1)
    x, y, z = cut[:3]
    length = math.hypot(x, y, z)
    place = (math.atan2(math.hypot(x, y), z), math.atan2(y, x), length) if tokenizer.use_spherical else (x, y, z)
    numbers, start = [], tokenizer.first_token_id
    for part, values in (("translation", place), ("rotation", cut[3:6])):
        cell = 0
        for value, edges in zip(values, tokenizer.bins[part].values(), strict=True):
            assume(np.abs(edges - value).min() > 1e-9 or value in (-1, 0, 1))  # on an edge rounding decides
            cell = cell * (len(edges) - 1) + bin_of(value, edges)
        numbers.append(start + cell)
        start += math.prod(len(edges) - 1 for edges in tokenizer.bins[part].values())
    numbers.append(start + int(cut[6] >= 0.5))
    assert ids.tolist() == numbers
    assert tokenizer.as_steps(ids).tolist() == [[numbers]]


@given(spatial(), SEEDS)
def test_the_centre_of_a_cell_is_in_it(tokenizer, seed):
    ranges = np.array(list(tokenizer.id_ranges.values()))
    ids = np.random.default_rng(seed).integers(ranges[:, 0], ranges[:, 1] + 1, (20, 3))
    ids[:, 2] = np.minimum(ids[:, 2], ranges[2, 0] + 1)  # two of the gripper's tokens are used
    actions = tokenizer.decode(ids)
    assert (np.abs(actions[:, :3]) <= 1).all()
    again = tokenizer.encode(actions)
    assert np.array_equal(again[:, 2], ids[:, 2])
    widths = [np.diff(edges) for edges in tokenizer.bins["rotation"].values()]
    if all((width > 1e-6).all() for width in widths):
        assert np.array_equal(again[:, 1], ids[:, 1])
    places = list(tokenizer.bins["translation"].values())
    if not tokenizer.use_spherical and all((np.diff(edges) > 1e-6).all() for edges in places):
        assert np.array_equal(again[:, 0], ids[:, 0])


@given(st.lists(floats(-1, 1), min_size=3, max_size=3))
def test_directions_and_lengths_are_the_point_again(place):
    found = spherical(np.array(place))
    np.testing.assert_allclose(cartesian(found), place, atol=1e-12)
    assert found[2] == pytest.approx(np.linalg.norm(place)) and 0 <= found[0] <= np.pi and -np.pi <= found[1] <= np.pi


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(2, 50), st.data())
def test_ids_of_bins_are_taken_in_every_form_and_others_named(batch, steps, dim, bins, data):
    vocabulary = 300
    ids = np.array(
        data.draw(
            st.lists(st.integers(vocabulary - bins, 299), min_size=batch * steps * dim, max_size=batch * steps * dim)
        )
    ).reshape(batch, steps, dim)
    forms = [ids, ids.reshape(batch, -1), torch.from_numpy(ids), ids.tolist()]
    for form in forms + ([ids.ravel()] if batch == 1 else []):
        assert np.array_equal(checked_bin_ids(form, (steps, dim), bins, vocabulary).numpy(), ids)
    place = data.draw(st.tuples(*(st.integers(0, size - 1) for size in ids.shape)))
    ids[place] = data.draw(st.sampled_from([vocabulary - bins - 1, vocabulary, -1]))
    with pytest.raises(InputError, match=rf"token_ids\[{place[0]}, {place[1]}, {place[2]}\] is {ids[place]};"):
        checked_bin_ids(ids, (steps, dim), bins, vocabulary)
