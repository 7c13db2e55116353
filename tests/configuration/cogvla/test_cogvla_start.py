"""The config of a start: what is switched on in a base, in any order, and what would lose a part of it."""

import re
from itertools import permutations

import pytest
from tiny_configs import COGVLA_STATISTICS, cogvla_config

from vlahub.configuration.cogvla.cogvla_start import start_config
from vlahub.errors import ConfigError

OPENVLA = {"use_film": False, "use_aggr": False, "use_lfp": False, "vision_aggregate_type": "concat"}
OPENVLA |= {"action_head": "discrete", "action_attention": "causal", "num_action_chunks": 1, "state_dim": None}
OPENVLA |= {"num_images_in_input": 1, "num_diffusion_steps": 100}
BOUNDS = COGVLA_STATISTICS["tiny"]["action"]
SWITCHES = (
    {"film": True},
    {"aggregation_tokens": 5},
    {"fusion": "moe"},
    {"lfp": "shiftedcos_decay_0.85_0.15"},
    {"action_head": "diffusion", "num_images": 2},
)


def openvla():
    return cogvla_config(**OPENVLA)


def started(base, *steps):
    for step in steps:
        base = start_config(base, step).config
    return base


def together(steps):
    return {name: value for step in steps for name, value in step.items()}


def test_the_order_and_the_number_of_steps_change_nothing():
    expected = started(openvla(), together(SWITCHES)).to_dict()
    assert expected["action_attention"] == "block" and expected["num_diffusion_steps"] == 50
    pruning, head = SWITCHES[3:]
    for order in permutations(SWITCHES):
        if order.index(pruning) < order.index(head):  # alone it is refused, with tokens that are written one by one
            continue
        assert started(openvla(), *order).to_dict() == expected
    assert started(openvla(), together(SWITCHES[:2]), together(SWITCHES[2:])).to_dict() == expected


@pytest.mark.parametrize(
    ("steps", "attention", "chunks"),
    [
        (({"film": True},), "causal", 1),
        (({"action_head": "l1"},), "bidirectional", 8),
        (({"action_head": "l1", "film": True},), "bidirectional", 8),
        (({"action_head": "l1"}, {"lfp": "deep_all"}), "block", 8),
        (({"action_head": "l1", "action_attention": "block"}, {"film": True}), "block", 8),
        (({"decoding": "parallel", "num_action_chunks": 3},), "bidirectional", 3),
        (({"decoding": "parallel", "aggregation_tokens": 2},), "block", 8),
        (({"decoding": "parallel", "fusion": "moe"},), "block", 8),
        (({"decoding": "parallel"}, {"decoding": "autoregressive", "num_action_chunks": 1}), "causal", 1),
    ],
)
def test_actions_are_predicted_as_published_for_the_parts_unless_said_otherwise(steps, attention, chunks):
    config = started(openvla(), *steps)
    assert (config.action_attention, config.num_action_chunks) == (attention, chunks)


def test_a_start_prunes_by_the_depth_of_its_own_model():
    base = openvla()
    base.lfp_schedule_layers = 32  # as converted checkpoints have it
    start = start_config(base, {"lfp": "shiftedcos_decay_0.85_0.15", "decoding": "parallel"})
    assert start.config.lfp_schedule_layers == 4 and sorted(start.config.lfp_keep_ratios) == [1, 2, 3]
    assert start.reasons["lfp_average_factor"] == "default"
    given = {"lfp": "deep_all", "lfp_schedule_layers": 9, "decoding": "parallel"}
    assert start_config(base, given).config.lfp_schedule_layers == 9


def test_names_of_views_are_those_of_as_many_views():
    base = cogvla_config(**OPENVLA, view_names=["front"])
    assert start_config(base, {"action_head": "l1", "num_images": 1}).config.view_names == ["front"]
    assert start_config(base, {"action_head": "l1", "num_images": 2}).config.view_names is None
    given = {"num_images": 2, "view_names": ["wrist", "front"]}
    assert start_config(base, {"action_head": "l1", **given}).config.view_names == ["wrist", "front"]


def test_words_of_the_command_and_fields_are_the_same():
    short = {"film": True, "aggregation_tokens": 2, "fusion": "moe", "lfp": "deep_all", "num_images": 3}
    short["decoding"] = "parallel"
    long = {"use_film": True, "num_vision_aggr": 2, "vision_aggregate_type": "moe", "lfp_type": "deep_all"}
    long["decoding"] = "parallel"
    more = {"num_views": 3, "proprio_dim": 4, "use_proprio": True, "action_horizon": 6}
    first = started(openvla(), short | {"state_dim": 4, "num_action_chunks": 6})
    assert first.to_dict() == started(openvla(), long | more).to_dict()


def test_statistics_of_the_base_stay_while_they_fit():
    assert start_config(openvla(), {"action_head": "l1"}).config.norm_stats == COGVLA_STATISTICS
    start = start_config(openvla(), {"action_head": "l1", "state_dim": 5})
    assert start.config.norm_stats == {} and "left out tiny of the base" in start.reasons["norm_stats"]
    mixed = cogvla_config(**OPENVLA | {"norm_stats": {**COGVLA_STATISTICS, "no state": {"action": BOUNDS}}})
    assert start_config(mixed, {"action_head": "l1", "state_dim": 4}).config.norm_stats == COGVLA_STATISTICS
    wider = {"robot": {"action": {"q01": [0.0] * 6, "q99": [1.0] * 6}}}
    config = start_config(openvla(), {"action_head": "l1", "statistics": wider}).config
    assert config.action_dim == 6 and config.norm_stats == wider
    base = start_config(openvla(), {"action_head": "l1"}).config
    with pytest.raises(ConfigError, match=r"'q01'.* has 6 values; .*action_dim=3 needs 3"):
        start_config(base, {"norm_stats": wider})


COGVLA = {"lfp_type": "deep_all", "action_head": "diffusion", "num_diffusion_steps": 4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"film": False}, r"use_film \(--film\) switches FiLM off, which the base has"),
        ({"use_aggr": False}, r"num_vision_aggr \(--aggregation-tokens\) switches aggregation tokens off"),
        ({"aggregation_tokens": 0}, "switches aggregation tokens off"),
        ({"use_lfp": False}, r"lfp_type \(--lfp\) switches token pruning off"),
        ({"state_dim": 0}, r"state_dim \(--state-dim\) switches a state off"),
        ({"aggregation_tokens": 5}, "num_vision_aggr .* is 5, but the base was trained with 3"),
        ({"state_dim": 7}, "state_dim .* is 7, but the base was trained with 4"),
        ({"action_dim": 7}, "action_dim .* is 7, but the base was trained with 3"),
        ({"action_head": "l1"}, "action_head .* is 'l1', but the base was trained with 'diffusion'"),
        ({"action_head": "discrete"}, "action_head .* is 'discrete', but the base was trained with 'diffusion'"),
        ({"fusion": "concat"}, r"vision_aggregate_type \(--fusion\) is 'concat', but the base was trained with 'moe'"),
        ({"num_diffusion_steps": 9}, "num_diffusion_steps .* is 9, but the base was trained with 4"),
        ({"lfp_film": False}, "lfp_enable_film .* is False, but the base was trained with True"),
        ({"lfp": "interleave"}, r"lfp_type .* is 'interleave', by which layers \[2\] no longer prune"),
        ({"text_config": {"hidden_size": 64}}, "text_config cannot be given"),
        ({"flim": True}, "no argument flim=True"),
        ({"film": True, "use_film": False}, "two words for one field"),
        ({"decoding": "fast"}, "decoding='fast' is unknown"),
    ],
)
def test_what_would_lose_a_part_of_the_base_is_refused_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        start_config(cogvla_config(**COGVLA), given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lfp_average_factor": 0.4}, r"lfp_average_factor \(--lfp-average-factor\) is given, but .* no token pruning"),
        ({"num_inference_steps": 4}, "num_inference_steps=4 has no effect with action_head='discrete'"),
        ({"lfp": "steep"}, "lfp_type 'steep' is unknown"),
        ({"lfp": "shiftedcos_decay_0.2_0.1", "lfp_schedule_layers": 32}, "by which none of the 4 layers prunes"),
        ({"lfp": "deep_all"}, "writes actions one by one .*what is learnt would not be .*--decoding parallel"),
        ({"lfp": "deep_all", "action_attention": "causal"}, r"token pruning \(lfp_type='deep_all'\)"),
        ({"use_state": True}, "use_state=True needs state_dim"),
        ({"decoding": "autoregressive", "action_head": "l1"}, "action_attention='causal' .* not 'l1'"),
        ({"aggregation_tokens": -1}, "num_vision_aggr=-1"),
    ],
)
def test_what_has_no_effect_or_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        start_config(openvla(), given)


def test_a_start_makes_a_model_that_prunes_and_writes_one_by_one_trainable():
    """Such a one may come out of a conversion: it predicts, and what it would learn is not what it predicts."""
    base = cogvla_config(lfp_type="deep_all", action_head="discrete", action_attention="causal")
    assert "token pruning (lfp_type='deep_all')" in base.why_not_trained
    with pytest.raises(ConfigError, match=re.escape(base.why_not_trained)):
        start_config(base, {"decoding": "autoregressive"})
    for given in ({"decoding": "parallel"}, {"action_head": "l1"}):
        assert start_config(base, given).config.why_not_trained is None


def test_what_the_base_has_may_be_said_again_and_more_layers_may_prune():
    base = cogvla_config(**COGVLA)
    same = {"film": True, "aggregation_tokens": 3, "fusion": "moe", "state_dim": 4, "action_dim": 3, "lfp": "deep_all"}
    assert started(base, same).to_dict() == base.to_dict()
    config = started(cogvla_config(lfp_type="deep_all", lfp_enable_film=False), {"lfp_film": True})
    assert config.lfp_enable_film
    more = started(base, {"lfp": "shiftedcos_decay_0.85_0.15"})
    assert sorted(more.lfp_keep_ratios) == [1, 2, 3]
