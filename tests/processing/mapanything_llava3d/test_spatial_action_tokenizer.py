"""Action tokens: the published ids and values, the bins, and the tokenizer that the tokens are added to."""

import copy
import json
import math
from statistics import NormalDist

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.processing.mapanything_llava3d.spatial_action_bins import equal_share_edges
from vlahub.processing.mapanything_llava3d.spatial_action_tokenizer import (
    ActionTokenizer,
    SpatialActionTokenizer,
    add_action_tokens,
)

CASES = ["llava3d/spatial_action_tokenizer", "llava3d/spatial_action_tokenizer_uniform"]
NUM_BINS = {
    "translation": {"theta_bins": 2, "phi_bins": 4, "r_bins": 2},
    "rotation": {"roll_bins": 2, "pitch_bins": 3, "yaw_bins": 2},
    "gripper": 2,
}
FITTED = {axis: {"mu": 0.1, "sigma": 0.5} for axis in ("theta", "phi", "r", "roll", "pitch", "yaw")}


def build(config, **changes):
    names = ("num_bins", "gs_params", "use_spherical", "min_sigma")
    return SpatialActionTokenizer(
        **{**{name: config[name] for name in names}, "first_token_id": config["tokenizer_size"], **changes}
    )


def changed(settings, *path, value):
    result = copy.deepcopy(settings)
    entry = result
    for name in path[:-1]:
        entry = entry[name]
    entry[path[-1]] = value
    return result


def some_actions(*shape):
    actions = np.random.RandomState(0).uniform(-1, 1, (*shape, 7))
    actions[..., 6] = (actions[..., 6] > 0).astype(float)
    return actions


# The published numbers


@pytest.mark.parametrize("case", CASES)
def test_ids_are_the_published_ones(golden, case):
    case = golden(case)
    tokens, actions = build(case.config), case.input("actions").numpy()
    case.check("token_ids", tokens.encode(actions))
    case.check("single_row_ids", tokens.encode(actions[0])[None])


@pytest.mark.parametrize("case", CASES)
def test_decoded_actions_are_the_published_ones(golden, case):
    case = golden(case)
    tokens = build(case.config)
    case.check("decoded", tokens.decode(tokens.encode(case.input("actions").numpy())))
    case.check("decoded_out_of_range_ids", tokens.decode(case.input("odd_ids").numpy()))


@pytest.mark.parametrize("case", CASES)
def test_bins_are_the_published_ones(golden, case):
    case = golden(case)
    for bins in build(case.config).bins.values():
        for axis, edges in bins.items():
            case.check(f"bins.{axis}", edges)


@pytest.mark.parametrize("case", CASES)
def test_the_parts_of_the_vocabulary_are_the_published_ones(golden, case):
    case = golden(case)
    tokens = build(case.config)
    ends = [end for part in ("translation", "rotation", "gripper") for end in tokens.id_ranges[part]]
    case.check("vocab", np.array([tokens.vocab_size, *tokens.sizes.values(), *ends]))


@pytest.mark.parametrize("case", CASES)
def test_the_flat_tokens_are_the_published_ones(golden, case):
    case = golden(case)
    tokens = ActionTokenizer(case.config["flat_num_bins"], first_token_id=case.config["tokenizer_size"])
    ids = tokens.encode(case.input("actions").numpy())
    case.check("flat.token_ids", ids)
    case.check("flat.decoded", tokens.decode(ids))


# Encoding and decoding


def test_any_number_of_leading_dimensions_gives_the_same_tokens():
    tokens, actions = SpatialActionTokenizer(NUM_BINS, FITTED), some_actions(3, 5)
    ids = tokens.encode(actions)
    assert ids.shape == (3, 5, 3) and tokens.decode(ids).shape == (3, 5, 7)
    np.testing.assert_array_equal(tokens.encode(actions[1, 2]), ids[1, 2])
    np.testing.assert_array_equal(tokens.decode(ids[1, 2]), tokens.decode(ids)[1, 2])


@pytest.mark.parametrize("gs_params", [None, FITTED], ids=["even", "fitted"])
def test_the_rotation_and_gripper_of_every_token_come_back_as_the_same_token(gs_params):
    """Of a translation this does not hold: the centre of a cell may lie outside the unit cube and is cut to it."""
    tokens = SpatialActionTokenizer(NUM_BINS, gs_params, first_token_id=50)
    first, last = tokens.id_ranges["rotation"]
    ids = np.stack(np.meshgrid([50], np.arange(first, last + 1), [last + 1, last + 2]), -1).reshape(-1, 3)
    np.testing.assert_array_equal(tokens.encode(tokens.decode(ids))[:, 1:], ids[:, 1:])


def test_many_bins_bring_an_action_back_to_within_a_bin():
    num_bins = {"translation": dict.fromkeys(NUM_BINS["translation"], 200), "gripper": 2}
    tokens = SpatialActionTokenizer({**num_bins, "rotation": dict.fromkeys(NUM_BINS["rotation"], 200)})
    actions = some_actions(100)
    np.testing.assert_allclose(tokens.decode(tokens.encode(actions)), actions, atol=0.03)


def test_coordinates_that_are_not_spherical_are_binned_as_they_are():
    axes = {axis: [-1.0, *np.linspace(-0.5, 0.5, n - 1), 1.0] for axis, n in NUM_BINS["translation"].items()}
    rotation = {axis: np.linspace(-1, 1, n + 1) for axis, n in NUM_BINS["rotation"].items()}
    policy = {"translation": axes, "rotation": rotation}
    tokens = SpatialActionTokenizer(NUM_BINS, bin_policy=policy, use_spherical=False)
    ids = tokens.encode([-0.9, 0.4, 0.9, 0.1, 0.1, 0.1, 0.0])
    assert ids[0] == 0 * 8 + 2 * 2 + 1
    np.testing.assert_allclose(tokens.decode(ids)[:3], [-0.75, 0.25, 0.25])


def test_the_flat_tokens_take_any_shape_and_range():
    tokens = ActionTokenizer(5, -2.0, 2.0, first_token_id=10)
    assert tokens.vocab_size == 5
    assert tokens.encode([[-9.0, -1.5], [0.0, 9.0]]).tolist() == [[10, 11], [12, 14]]
    assert tokens.decode([[0, 11], [12, 99]]).tolist() == [[-2.0, -1.0], [0.0, 2.0]]


# Bins


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.3), (0.7, 1.5), (-1.2, 0.2), (0.0, 0.02)])
def test_bins_of_a_normal_distribution_hold_equal_shares_of_it(mean, deviation):
    edges = equal_share_edges(-1.0, 1.0, 6, mean, deviation)
    shares = np.diff([NormalDist(mean, deviation).cdf(edge) for edge in edges])
    np.testing.assert_allclose(shares, shares.mean(), rtol=1e-6)
    assert (edges[0], edges[-1]) == pytest.approx((-1.0, 1.0), abs=1e-6)


def test_bins_far_out_in_the_tail_keep_their_digits():
    """Nine standard deviations below the mean; the numbers are those of scipy.stats.norm."""
    edges = equal_share_edges(-1.0, 1.0, 3, 1.9, 0.1)
    np.testing.assert_allclose(edges, [-1.0, 0.9880165627731126, 0.9955592098548678, 1.0], rtol=1e-9)


def test_the_least_standard_deviation_stands_in_for_smaller_ones():
    narrow = {axis: {"mu": 0.1, "sigma": 0.01} for axis in FITTED}
    wide, raised = SpatialActionTokenizer(NUM_BINS, FITTED), SpatialActionTokenizer(NUM_BINS, narrow, min_sigma=0.5)
    np.testing.assert_array_equal(raised.bins["rotation"]["pitch_bins"], wide.bins["rotation"]["pitch_bins"])
    plain = SpatialActionTokenizer(NUM_BINS, narrow)
    assert not np.allclose(plain.bins["rotation"]["pitch_bins"], wide.bins["rotation"]["pitch_bins"])


def test_given_bins_win_over_a_normal_distribution():
    policy = SpatialActionTokenizer(NUM_BINS).bins
    tokens = SpatialActionTokenizer(NUM_BINS, FITTED, bin_policy=policy)
    np.testing.assert_array_equal(tokens.bins["rotation"]["pitch_bins"], policy["rotation"]["pitch_bins"])


@pytest.mark.parametrize(
    "settings",
    [
        {"gs_params": FITTED, "min_sigma": 0.2},
        {"use_spherical": False},
        {"bin_policy": SpatialActionTokenizer(NUM_BINS, FITTED).bins},
    ],
    ids=["fitted", "not spherical", "arrays of bins"],
)
def test_settings_survive_json(settings):
    tokens = SpatialActionTokenizer(NUM_BINS, **settings, first_token_id=7)
    again = SpatialActionTokenizer.from_dict(json.loads(json.dumps(tokens.to_dict())), first_token_id=7)
    assert again.to_dict() == tokens.to_dict()
    actions = some_actions(50)
    np.testing.assert_array_equal(again.encode(actions), tokens.encode(actions))
    np.testing.assert_array_equal(again.decode(tokens.encode(actions)), tokens.decode(tokens.encode(actions)))


# Ids as they are generated


def test_generated_ids_are_grouped_into_steps():
    tokens = SpatialActionTokenizer(NUM_BINS, first_token_id=100)
    ids = tokens.encode(some_actions(2, 4))
    np.testing.assert_array_equal(tokens.as_steps(ids.reshape(2, 12)), ids)
    np.testing.assert_array_equal(tokens.as_steps(ids[0].flatten().tolist()), ids[:1])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([100, 116, 128, 100], r"shape \(1, 4\); a step has 3"),
        ([], r"shape \(1, 0\)"),
        ([[[100, 116, 128]]], r"shape \(1, 1, 3\)"),
        ([[100, 116, 128], [100]], r"must be \(batch, 3 \* steps\)"),
        ([[100, 116, 128, 100, 2, 128]], r"token_ids\[0, 4\] is 2; the ids of rotation tokens are 116 to 127"),
        ([[100, 116, 128], [100, 116, 130]], r"token_ids\[1, 2\] is 130; the ids of gripper tokens are 128 to 129"),
        ([[116, 100, 128]], r"token_ids\[0, 0\] is 116; the ids of translation tokens are 100 to 115"),
    ],
)
def test_ids_that_are_no_actions_are_refused_with_what_they_are(ids, message):
    with pytest.raises(InputError, match=message):
        SpatialActionTokenizer(NUM_BINS, first_token_id=100).as_steps(ids)


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("encode", np.zeros((2, 6)), r"actions must be \(\.\.\., 7\), got shape \(2, 6\)"),
        ("encode", 0.5, r"got shape \(\)"),
        ("decode", np.zeros((2, 7), int), r"token_ids must be \(\.\.\., 3\), got shape \(2, 7\)"),
    ],
)
def test_another_number_of_values_is_refused_with_the_shape(method, values, message):
    with pytest.raises(InputError, match=message):
        getattr(SpatialActionTokenizer(NUM_BINS), method)(values)


# Settings that cannot be

RISING = [0.0, 1.0, math.pi]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_bins": {"translation": NUM_BINS["translation"], "gripper": 2}}, r"\['rotation', 'roll_bins'\].*None"),
        ({"num_bins": changed(NUM_BINS, "rotation", "yaw_bins", value=0)}, r"\['rotation', 'yaw_bins'\].*got 0"),
        ({"num_bins": {**NUM_BINS, "gripper": 1}}, r"\['gripper'\] must be a whole number from 2 on, got 1"),
        ({"num_bins": 256}, r"\['translation', 'theta_bins'\]"),
        ({"gs_params": {"theta": FITTED["theta"]}}, r"gs_params\['phi'\] must hold 'mu' and 'sigma', got None"),
        ({"gs_params": changed(FITTED, "r", value={"mu": 0.1})}, r"gs_params\['r'\] must hold 'mu' and 'sigma', got"),
        ({"gs_params": changed(FITTED, "r", "sigma", value=0.0)}, r"gs_params\['r'\]\['sigma'\]=0.0 must be above 0"),
        ({"gs_params": changed(FITTED, "yaw", "mu", value=99.0)}, r"'yaw_bins' need 3 edges in rising order"),
        ({"bin_policy": {"translation": {"theta_bins": RISING}}}, r"'phi_bins' need 5 edges in rising order, got \[\]"),
        ({"bin_policy": {"translation": {"theta_bins": RISING[::-1]}}}, r"'theta_bins' need 3 edges in rising order"),
        (
            {"bin_policy": {"translation": {"theta_bins": [0.0, 2.0, 1.0]}}},
            r"'theta_bins' need 3 edges in rising order",
        ),
        ({"bin_policy": {"translation": {"theta_bins": RISING[:2]}}}, r"'theta_bins' need 3 edges"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        SpatialActionTokenizer(**{"num_bins": NUM_BINS, **settings})


@pytest.mark.parametrize("settings", [{"bins": 3}, {"num_bins": NUM_BINS, "first_token_id": 3}, 256])
def test_settings_of_another_kind_are_refused_with_the_known_ones(settings):
    with pytest.raises(ConfigError, match=r"num_bins and perhaps .*gs_params"):
        SpatialActionTokenizer.from_dict(settings)


# The strings of the tokens


def make_tokenizer(*words):
    vocabulary = {word: i for i, word in enumerate(["<unk>", *words])}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(vocabulary, "<unk>")), unk_token="<unk>")


def test_added_tokens_follow_the_vocabulary_in_order():
    tokenizer = make_tokenizer("a", "b")
    assert add_action_tokens(tokenizer, 12) == 3
    assert tokenizer.convert_ids_to_tokens([3, 14]) == ["<ACTION00000>", "<ACTION00011>"]
    assert tokenizer("<ACTION00003><ACTION00011>")["input_ids"] == [6, 14]
    assert tokenizer.decode([6, 14], skip_special_tokens=True) == ""


def test_tokens_that_are_there_stay_where_they_are():
    tokenizer = make_tokenizer("a")
    assert (add_action_tokens(tokenizer, 5), add_action_tokens(tokenizer, 5), len(tokenizer)) == (2, 2, 7)


@pytest.mark.parametrize(("held", "found"), [(3, "3 of them"), (6, "<ACTION00005> too")])
def test_a_tokenizer_with_another_number_of_action_tokens_is_refused(held, found):
    tokenizer = make_tokenizer("a")
    add_action_tokens(tokenizer, held)
    with pytest.raises(ConfigError, match=f"ask for 5 action tokens, but the tokenizer holds {found}"):
        add_action_tokens(tokenizer, 5)
    assert len(tokenizer) == 2 + held


def test_action_tokens_with_something_between_them_are_refused():
    tokenizer = make_tokenizer("<ACTION00000>", "word", "<ACTION00001>")
    with pytest.raises(ConfigError, match="2 action tokens do not follow one another"):
        add_action_tokens(tokenizer, 2)


def test_the_gripper_is_open_from_the_half_on():
    tokens = SpatialActionTokenizer(NUM_BINS)
    actions = np.zeros((4, 7))
    actions[:, 6] = np.nextafter(0.5, 0), 0.5, 0.0, 1.0
    assert tokens.decode(tokens.encode(actions))[:, 6].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("use_spherical", [True, False])
def test_actions_outside_of_the_unit_cube_are_cut_axis_by_axis_on_both_ways(use_spherical):
    """Off an axis that turns the direction, so a length cut to sqrt(3) would be another cell."""
    axes = {axis: np.linspace(-1, 1, 41) for axis in NUM_BINS["translation"]}
    counts = {part: dict.fromkeys(NUM_BINS[part], 40) for part in ("translation", "rotation")} | {"gripper": 2}
    rotation = {axis: np.linspace(-1, 1, 41) for axis in NUM_BINS["rotation"]}
    policy = {} if use_spherical else {"bin_policy": {"translation": axes, "rotation": rotation}}
    tokens = SpatialActionTokenizer(counts, use_spherical=use_spherical, **policy)
    outside = np.array([[2.0, 0.4, -0.3, 1.7, -0.2, -4.0, 3.0], [-0.2, -9.0, 1.5, 0.1, 5.0, 0.3, -2.0]])
    np.testing.assert_array_equal(tokens.encode(outside), tokens.encode(np.clip(outside, -1, 1)))
    first, last = tokens.id_ranges["translation"]
    rest = [tokens.id_ranges[part][0] for part in ("rotation", "gripper")]
    ids = np.array([[place, *rest] for place in range(first, last + 1, 7)])
    place = tokens.decode(ids)[:, :3]
    assert np.abs(place).max() == 1 if use_spherical else np.abs(place).max() < 1
