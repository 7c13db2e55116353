"""Statistics that no model can normalise by are refused wherever they enter, by key, part, statistic and dimension."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlahub import CogVLAConfig, MapAnythingLlava3DConfig, MultimodalVLAConfig
from vlahub.configuration.normalization_statistics import check_statistics
from vlahub.errors import ConfigError
from vlahub.modeling.action_normalization import affine_terms
from vlahub.training.statistics import apply_statistics

NAN, INF = float("nan"), float("inf")
ACTION = {
    "min": [-2.0, -1.0, 0],
    "max": [2.0, 1.5, 1],
    "q01": [-1.0, -0.5, 0.25],
    "q99": [1.0, 0.5, 0.25],  # the last dimension never changed
    "mean": [0.0, 0.1, 0.2],
    "std": [1.0, 0.0, 0.5],
    "mask": [True, True, False],
}
STATE = {name: values[:2] for name, values in ACTION.items()}
GOOD = {"table": {"action": ACTION, "proprio": STATE, "num_transitions": 12}}
KINDS = ("bounds", "bounds_q99", "normal")
# What is put where, and what the message must say.
WRONG = {
    "nan": (("action", "q01", 1), NAN, r"\['table'\]\['action'\]\['q01'\]\[1\] is nan: a finite"),
    "infinite": (("proprio", "q99", 0), -INF, r"\['proprio'\]\['q99'\]\[0\] is -inf: a finite"),
    "nan elsewhere": (("action", "mean", 2), NAN, r"\['mean'\]\[2\] is nan"),
    "nan in a part that no model knows": (("other",), {"a": [{"b": NAN}]}, r"\['other'\]\['a'\]\[0\]\['b'\] is nan"),
    "too large": (("action", "q99", 0), 1e39, r"\['q99'\]\[0\] is 1e\+39: a finite float32"),
    "text": (("action", "q01", 0), "0.5", r"\['q01'\]\[0\] is '0.5': a number"),
    "boolean": (("action", "q99", 2), True, r"\['q99'\]\[2\] is True: a number"),
    "none": (("proprio", "q01", 1), None, r"\['proprio'\]\['q01'\]\[1\] is None: a number"),
    "nested": (("action", "q01", 0), [1.0], r"\['q01'\]\[0\] is \[1.0\]: a number"),
    "no list": (("action", "q01"), 1.0, r"\['action'\]\['q01'\] is 1.0: a list"),
    "text for a list": (("action", "q01"), "abc", r"\['q01'\] is 'abc': a list"),
    "swapped": (("action", "q01", 1), 3.0, r"\['q01'\]\[1\] is 3.0, above .*\['q99'\]\[1\], which is 0.5"),
    "swapped elsewhere": (("proprio", "max", 0), -5.0, r"\['min'\]\[0\] is -2.0, above .*\['max'\]\[0\]"),
    "negative deviation": (("action", "std", 1), -0.1, r"\['std'\]\[1\] is -0.1: a standard deviation"),
    "mask of numbers": (("action", "mask", 2), 0, r"\['action'\]\['mask'\]\[2\] is 0: true or false"),
    "short mask": (("action", "mask"), [True, False], r"\['mask'\] has 2 values; .* needs 3"),
    "mask that is none": (("proprio", "mask"), True, r"\['mask'\] is True: a list"),
    "short list": (("proprio", "q01"), [0.0], r"\['proprio'\]\['q01'\] has 1 values; .* needs 2"),
    "long list": (("action", "q99"), [9.0] * 4, r"\['action'\]\['q99'\] has 4 values; .* needs 3"),
    "part of another kind": (("action",), [1, 2], r"\['table'\]\['action'\] is a list: a mapping"),
    "statistics of another kind": ((), "x", r"norm_stats\['table'\] is a str: a mapping"),
}
CONFIGS = {
    "cogvla": (CogVLAConfig, {"action_dim": 3, "proprio_dim": 2}),
    "llava3d": (MapAnythingLlava3DConfig, {"action_dim": 3, "use_state": True, "state_dim": 2}),
    "composed": (
        MultimodalVLAConfig,
        {
            "vision_config": {"model_type": "siglip_vision_model"},
            "text_config": {"model_type": "llama"},
            "action_dim": 3,
            "use_proprio": True,
            "proprio_dim": 2,
        },
    ),
}


def changed(place, value):
    """GOOD with another value at a place within its only entry."""
    norm_stats = copy.deepcopy(GOOD)
    at, names = norm_stats, ["table", *place]
    for name in names[:-1]:
        at = at[name]
    at[names[-1]] = value
    return norm_stats


@pytest.mark.parametrize("kind", KINDS)
def test_good_statistics_pass(kind):
    check_statistics(GOOD, kind, 3, 2)
    check_statistics(GOOD, kind)  # of unknown sizes, without a state
    check_statistics({}, kind, 3, 2)  # of a model before training
    arrays = {name: np.array(values, dtype=bool if name == "mask" else np.float32) for name, values in ACTION.items()}
    check_statistics({"a": {"action": arrays}, "b": {"action": {**ACTION, "mask": []}}}, kind, 3)


@pytest.mark.parametrize("kind", [np.array, lambda values: [np.float32(value) for value in values]])
def test_statistics_in_numbers_of_numpy_are_saved_and_predicted_with(family, family_checkpoint, kind, tmp_path):
    if family.unnorm_key is None:
        pytest.skip("a car has no statistics")
    model, processor = (part.from_pretrained(family_checkpoint) for part in (family.model, family.processor))
    key, stats = family.unnorm_key, copy.deepcopy(model.config.norm_stats[family.unnorm_key])
    written = {name: kind(values) for name, values in stats["action"].items() if name in ("q01", "q99")}
    written["mask"] = np.array([True] * len(written["q01"]))
    for part in (model.config, processor):
        part.norm_stats = {key: {**stats, "action": written}}
        part.save_pretrained(tmp_path)
    found = type(model.config).from_pretrained(tmp_path).norm_stats[key]["action"]
    assert found["mask"] == [True] * len(found["q01"])
    np.testing.assert_allclose(found["q01"], stats["action"]["q01"])
    read, given = (affine_terms(values, "bounds_q99", torch.zeros(1)) for values in (found, written))
    assert all(torch.equal(one, other) for one, other in zip(read, given, strict=True))


@pytest.mark.parametrize("case", WRONG)
def test_statistics_that_cannot_be_used_are_named(case):
    place, value, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        check_statistics(changed(place, value), "bounds_q99", 3, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["action", "proprio"])
def test_what_a_normalisation_needs_must_be_there(kind, part):
    for name in {"bounds": ("min", "max"), "bounds_q99": ("q01", "q99"), "normal": ("mean", "std")}[kind]:
        norm_stats = copy.deepcopy(GOOD)
        del norm_stats["table"][part][name]
        with pytest.raises(ConfigError, match=rf"\['{part}'\]\['{name}'\] has 0 values; normalization_type='{kind}'"):
            check_statistics(norm_stats, kind, 3, 2)


def test_a_state_needs_its_part_under_either_name():
    for part in ("proprio", "state"):
        check_statistics({"a": {"action": ACTION, part: STATE}}, "bounds", 3, 2)
    with pytest.raises(ConfigError, match=r"norm_stats\['a'\] has no 'proprio' or 'state' part; state_dim=2"):
        check_statistics({"a": {"action": ACTION}}, "bounds", 3, 2)
    check_statistics({"a": {"action": ACTION, "proprio": {"q01": [0.0]}}}, "bounds", 3)  # of a state that is no input


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ConfigError, match=r"^normalization_type='minmax' is unknown; choose from bounds, bounds_q99"):
        check_statistics(GOOD, "minmax")


@pytest.mark.parametrize("family", CONFIGS)
def test_no_config_takes_or_loads_them(family, tmp_path):
    config_class, fields = CONFIGS[family]
    config = config_class(**fields, norm_stats=GOOD)
    config.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    for place, value, message in WRONG.values():
        with pytest.raises(ConfigError, match=message):
            config_class(**fields, norm_stats=changed(place, value))
        path.write_text(json.dumps({**saved, "norm_stats": changed(place, value)}))
        with pytest.raises(ConfigError, match=message):
            config_class.from_pretrained(tmp_path)


@pytest.mark.parametrize("family", CONFIGS)
def test_no_model_is_given_them(family):
    config_class, fields = CONFIGS[family]
    config = config_class(**fields)
    processor = SimpleNamespace(normalization_type=config.normalization_type, norm_stats={})
    for place, value, message in WRONG.values():
        with pytest.raises(ConfigError, match=message):
            apply_statistics(config, processor, "table", changed(place, value)["table"])
    assert config.norm_stats == processor.norm_stats == {}
    apply_statistics(config, processor, "table", GOOD["table"])
    assert config.norm_stats == GOOD
