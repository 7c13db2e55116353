"""What an inspection says of a CogVLA, OpenVLA-OFT or OpenVLA, by its config or by the shapes of a run alone."""

import pytest

from vlahub.configuration.cogvla.pruning_schedule import lfp_keep_ratios
from vlahub.conversion.cogvla.inspected_cogvla import INSPECTION, cogvla_facts, cogvla_plans, keep_ratios
from vlahub.conversion.family_inspection import RunFacts

LFP = {"use_lfp": True, "lfp_type": "shiftedcos_decay_0.85_0.15", "lfp_average_factor": 0.4}
TEXT = {"num_hidden_layers": 8}


def facts(text=None, **config):
    return cogvla_facts({"text_config": {**TEXT, **(text or {})}, **config}, {})


def test_pruning_is_read_where_a_config_has_it():
    """A published one in `text_config`, a converted one in its own fields, which others may be beside."""
    wanted = lfp_keep_ratios(LFP["lfp_type"], 0.4, 8, 32)
    published, converted = facts(LFP), facts(action_attention="block", **LFP)
    assert published.token_pruning == converted.token_pruning == wanted
    assert facts(LFP, action_attention="block", use_lfp=False).token_pruning == {}
    for found in (published, converted):
        assert found.choices["token pruning (LFP)"] == LFP["lfp_type"]
    assert "action attention" not in published.choices
    assert converted.choices["action attention"] == "block (CogVLA)"
    assert facts(action_attention="other").choices["action attention"] == "other (unknown)"


def test_a_schedule_is_of_the_published_layers_or_of_those_that_a_config_says():
    assert keep_ratios(LFP, TEXT) == lfp_keep_ratios(LFP["lfp_type"], 0.4, 8, 32)
    own = keep_ratios({**LFP, "lfp_schedule_layers": 6}, TEXT)
    assert own == lfp_keep_ratios(LFP["lfp_type"], 0.4, 8, 6) != keep_ratios(LFP, TEXT)
    assert keep_ratios({**LFP, "lfp_average_factor": None}, TEXT) == lfp_keep_ratios(LFP["lfp_type"], 0.5, 8, 32)


@pytest.mark.parametrize(
    "change", [{"use_lfp": False}, {"lfp_type": "of_nobody"}, {"lfp_type": None}, {"lfp_average_factor": "half"}]
)
def test_what_is_no_schedule_prunes_nothing_and_hinders_no_inspection(change):
    found = facts(LFP | change)
    assert found.token_pruning == {} and "token pruning (LFP)" not in found.choices
    assert keep_ratios({"use_lfp": True}, TEXT) == keep_ratios(LFP, {}) == {}


def test_sizes_are_of_parts_that_there_are():
    fields = {"num_vision_aggr": 64, "num_diffusion_steps": 50}
    choices = facts(**fields, use_aggr=True, action_head="diffusion").choices
    assert (choices["aggregation tokens a view"], choices["diffusion steps"]) == (64, 50)
    choices = facts(**fields, use_aggr=False, action_head="l1").choices
    assert "aggregation tokens a view" not in choices and "diffusion steps" not in choices


HEAD = {"action_head.model.fc2.weight": (7, 64)}
NOISE = HEAD | {"noisy_action_projector.fc1.weight": (64, 1)}


def plans(shapes=(), side_files=(), name="run", statistics=(), **config):
    return cogvla_plans(RunFacts(name, config, dict(statistics), tuple(side_files), False, dict(shapes)))


def known(plan):
    return {setting.name: setting.value for setting in plan.settings}


def options(plan):
    return [need.option.split()[0] for need in plan.needed]


def test_files_without_a_head_may_be_of_two_models():
    plain, parallel = plans()
    assert plain.given == ["--decoding autoregressive"] and parallel.given == ["--decoding parallel"]
    assert options(plain) == ["--statistics"] and options(parallel) == ["--statistics", "--num-images", "--platform"]
    assert known(plain)["action_head"] == known(parallel)["action_head"] == "discrete"


def test_files_beside_an_adapter_may_be_of_a_model_whose_head_is_missing_unless_they_are_cogvlas_own():
    router = {"language_model.model.layers.1.router.router.0.weight": (8, 8)}
    assert len(plans(router, ["vision_backbone", "non_lora_trainables"])) == 1
    assert len(plans(router, ["vision_backbone", "proprio_projector"])) == 2
    assert len(plans(side_files=["vision_backbone", "non_lora_trainables"])) == 2


def test_a_head_and_the_projectors_tell_their_sizes():
    (plan,) = plans(HEAD | {"proprio_projector.fc1.weight": (64, 8)}, ["action_head"])
    found = known(plan)
    assert (found["action_head"], found["action_dim"], found["state_dim"]) == ("l1", 7, 8)
    assert found["action_attention"] == "bidirectional" and found["use_lfp"] is False
    assert options(plan) == ["--statistics", "--num-images", "--platform"]


@pytest.mark.parametrize("field", ["num_diffusion_steps", "num_diffusion_steps_train", None])
def test_steps_of_a_diffusion_head_are_asked_for_where_no_config_says_them(field):
    (plan,) = plans(NOISE, ["action_head", "noisy_action_projector"], **({field: 50} if field else {}))
    assert ("--num-diffusion-steps" in options(plan)) is (field is None)
    (plan,) = plans(HEAD, ["action_head"])
    assert "--num-diffusion-steps" not in options(plan)


def test_statistics_and_the_name_of_a_run_are_read():
    (plan,) = plans(HEAD, name="openvla-7b+x+b16+lr-2e-05--image_aug", statistics={"b": {}, "a": {}})
    assert known(plan)["norm_stats"] == ["a", "b"] and known(plan)["center_crop"] is True
    assert "--statistics" not in options(plan)
    (crop,) = (setting for setting in plans(HEAD)[0].settings if setting.name == "center_crop")
    assert crop.value is False and crop.how.startswith("assumed")


def test_a_published_openvla_alone_is_a_base():
    merge, create = INSPECTION.uses({"model_type": "openvla"})
    assert merge.startswith("vlahub merge-lora --base PLACE") and create.startswith("vlahub create --family cogvla")
    assert INSPECTION.uses({"model_type": "llava"}) == INSPECTION.uses({}) == []
