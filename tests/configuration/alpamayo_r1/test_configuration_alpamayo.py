"""Configuration of Alpamayo-R1: the published file is read, its names are only looked up, nonsense is refused."""

import builtins
import copy
import json
import socket
import sys

import pytest
import torch
from transformers import AutoConfig, Qwen3VLConfig

from vlahub import AlpamayoR1, AlpamayoR1Config
from vlahub.configuration.card_snippet import straight_path
from vlahub.errors import ConfigError

DICTS = (
    "action_space_cfg",
    "diffusion_cfg",
    "action_in_proj_cfg",
    "action_out_proj_cfg",
    "traj_tokenizer_cfg",
    "hist_traj_tokenizer_cfg",
)
FIELDS = (*DICTS, "expert_cfg", "traj_vocab_size", "traj_token_start_idx", "traj_token_ids", "tokens_per_history_traj")
FIELDS += ("tokens_per_future_traj", "vocab_size", "min_pixels", "max_pixels", "expert_non_causal_attention")
FIELDS += ("mask_prompt_padding", "add_special_tokens", "vlm_name_or_path", "n_waypoints", "hist_token_start_idx")
FIELDS += ("pad_token_id", "eos_token_id", "tie_word_embeddings")
PARAMETERS = 11_078_526_194  # of the release, in 1166 tensors, 7 of which are constants that are not counted


@pytest.fixture
def published(golden):
    """The fields of the golden case: a published config.json, and the sizes of its tiny base."""
    fields = copy.deepcopy(golden("alpamayo/alpamayo_expert_step").config)
    vlm, expect = fields.pop("vlm"), fields.pop("expect")
    return {"vlm_config": vlm, **expect, **fields}


def assert_same(first, second):
    assert {name: getattr(first, name) for name in FIELDS} == {name: getattr(second, name) for name in FIELDS}
    for sizes in (
        lambda config: config.vlm_config.text_config,
        lambda config: config.vlm_config.vision_config,
        lambda config: config.expert_config,
    ):
        assert sizes(first).to_dict() == sizes(second).to_dict()


# ---- what a config says


def test_the_default_is_the_release_to_the_last_parameter():
    config = AlpamayoR1Config()
    assert (config.n_waypoints, config.hist_token_start_idx, config.vocab_size) == (64, 154669, 155697)
    with torch.device("meta"):
        model = AlpamayoR1(config)

    tensors = dict(model.named_parameters())
    assert len(tensors) == 1166 - 7
    assert sum(tensor.numel() for tensor in tensors.values()) == PARAMETERS
    assert sum(name.startswith("vlm.") for name in tensors) == 750


def test_a_published_file_is_read_as_it_is(published):
    config = AlpamayoR1Config(**published)

    assert config.vlm_config.text_config.vocab_size == config.vocab_size == published["vocab_size"]
    assert config.expert_config.num_hidden_layers == published["vlm_config"]["text_config"]["num_hidden_layers"]
    for name, value in published["expert_cfg"].items():
        assert getattr(config.expert_config, name) == value
    assert config.traj_tokenizer_cfg["num_bins"] == published["traj_tokenizer_cfg"]["num_bins"]
    assert "_target_" not in config.to_json_string()


def test_the_package_of_either_release_is_known(published):
    text = json.dumps(published)
    assert "alpamayo_r1." in text
    later = json.loads(text.replace("alpamayo_r1.", "alpamayo1_5."))
    assert_same(AlpamayoR1Config(**later), AlpamayoR1Config(**published))
    for read in (lambda fields: AlpamayoR1Config(**fields), AlpamayoR1Config.from_dict):
        config = read(later | {"model_type": "alpamayo1_5"})
        assert config.camera_labels is True and config.model_type == "alpamayo_r1"
        assert AlpamayoR1Config.from_dict(config.to_dict()).camera_labels is True
        assert read(published | {"model_type": "alpamayo_r1"}).camera_labels is False
        assert read(later | {"model_type": "alpamayo1_5", "camera_labels": False}).camera_labels is False


def test_a_config_survives_being_written(published, tmp_path):
    config = AlpamayoR1Config(**published, mask_prompt_padding=False, vlm_name_or_path="some/base", pad_token_id=300)
    config.save_pretrained(tmp_path)

    for loaded in (AlpamayoR1Config.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is AlpamayoR1Config
        assert_same(loaded, config)
    assert_same(copy.deepcopy(config), config)
    assert_same(AlpamayoR1Config.from_dict(config.to_dict()), config)


def test_a_given_base_config_is_not_changed(published):
    base = Qwen3VLConfig(**published["vlm_config"])
    size = base.text_config.vocab_size
    config = AlpamayoR1Config(**{**published, "vlm_config": base})

    assert base.text_config.vocab_size == size != config.vocab_size
    assert_same(config, AlpamayoR1Config(**published))


def test_configs_do_not_share_their_dicts(published):
    first, second = AlpamayoR1Config(**published), AlpamayoR1Config(**published)
    first.action_space_cfg["accel_std"] = 5.0
    first.traj_token_ids["history"] = 0

    assert second.action_space_cfg["accel_std"] != 5.0 and second.traj_token_ids["history"] != 0
    assert AlpamayoR1Config().traj_token_ids["history"] == 155684


@pytest.mark.parametrize("field", ["expert_cfg", "action_space_cfg", "action_in_proj_cfg", "traj_tokenizer_cfg"])
def test_what_is_changed_in_a_config_does_not_become_a_default(field):
    changed, before = AlpamayoR1Config(), copy.deepcopy(getattr(AlpamayoR1Config(), field))
    for name, value in getattr(changed, field).items():
        getattr(changed, field)[name] = value.append(0) if isinstance(value, list) else None
    assert getattr(AlpamayoR1Config(), field) == before


def test_the_card_counts_the_poses_of_a_history():
    """Of three tokens each, or of four with turns, in the table and in the code."""
    turning = AlpamayoR1Config(hist_traj_tokenizer_cfg={"predict_yaw": True}, tokens_per_history_traj=64)
    for config, tokens in ((AlpamayoR1Config(), 48), (turning, 64)):
        assert config.facts["history"] == f"16 poses as {tokens} tokens"
        assert straight_path(config) == (16, "-15") and config.num_history_poses == 16


# ---- names of classes


@pytest.mark.parametrize("field", DICTS)
@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.hub.load",
        "alpamayo_r1.os.system",
        "alpamayo_r1.models.anything.Else",
        "action_space.unicycle.Unicycle",
        "",
        ["os.system"],
        5,
    ],
)
def test_a_target_that_is_not_known_is_refused_by_field_and_name(published, field, target):
    with pytest.raises(ConfigError) as caught:
        AlpamayoR1Config(**{**published, field: {**(published.get(field) or {}), "_target_": target}})
    assert field in str(caught.value) and repr(target) in str(caught.value)


def test_a_target_within_a_dict_is_looked_up_too(published):
    inner = {**published["action_space_cfg"], "_target_": "subprocess.run"}
    with pytest.raises(ConfigError, match=r"subprocess\.run"):
        AlpamayoR1Config(
            **{**published, "traj_tokenizer_cfg": {**published["traj_tokenizer_cfg"], "action_space_cfg": inner}}
        )


def test_a_known_target_of_another_field_is_refused(published):
    target = published["action_space_cfg"]["_target_"]
    with pytest.raises(ConfigError, match="diffusion_cfg"):
        AlpamayoR1Config(**{**published, "diffusion_cfg": {"_target_": target}})


def test_nothing_is_imported_opened_or_connected(published, monkeypatch):
    AlpamayoR1Config(**published)  # what is imported late has been by now

    def refuse(*args, **kwargs):
        raise AssertionError(f"called with {args}")

    before = set(sys.modules)
    with monkeypatch.context() as patches:
        patches.setattr(builtins, "open", refuse)
        patches.setattr(socket, "socket", refuse)
        AlpamayoR1Config(**{**published, "vlm_name_or_path": "somebody/a-base"})
        with pytest.raises(ConfigError):
            AlpamayoR1Config(**{**published, "diffusion_cfg": {"_target_": "antigravity.fly"}})
    assert set(sys.modules) == before


# ---- what cannot work


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocab_size": 400}, "vocab_size=400"),
        ({"traj_token_start_idx": 10, "traj_vocab_size": 391, "vocab_size": 400}, "vocab_size=400 does not hold"),
        ({"diffusion_cfg": {"num_inference_steps": 5}, "num_inference_steps": 7}, "is 5 in its part's dict and 7"),
        ({"diffusion_cfg": {"int_method": "heun"}}, "int_method='heun' is unknown"),
        ({"traj_vocab_size": 0}, "traj_vocab_size"),
        ({"traj_vocab_size": 1.5}, "traj_vocab_size"),
        ({"tokens_per_history_traj": -1}, "tokens_per_history_traj"),
        ({"tokens_per_future_traj": 0}, "tokens_per_future_traj"),
        ({"min_pixels": 0}, "min_pixels"),
        ({"min_pixels": 9000, "max_pixels": 8999}, "max_pixels=8999"),
        ({"traj_token_ids": {"history": 1}}, "future_start"),
        ({"vlm_config": {"model_type": "llama"}}, "'llama'"),
        ({"expert_cfg": {"num_hidden_layers": 3}}, "num_hidden_layers=3"),
        ({"expert_cfg": {"num_key_value_heads": 4}}, "num_key_value_heads=4"),
        ({"expert_cfg": {"head_dim": 8}}, "head_dim=8"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(published, changes, named):
    changes = {name: {**published[name], **value} if name == "expert_cfg" else value for name, value in changes.items()}
    with pytest.raises(ConfigError, match=named):
        AlpamayoR1Config(**{**published, **changes})


NO_BOUNDS = (5, None, [1], [-1, 0, 1], [-1, "1"], [-1, {"a": 1}], [-1, float("inf")], [True, False])


@pytest.mark.parametrize("field", ["accel", "curvature"])
def test_bounds_means_and_deviations_of_actions_are_finite_numbers(field):
    for name, values in ((f"{field}_bounds", NO_BOUNDS), (f"{field}_mean", NO_BOUNDS[1:])):
        for value in values:
            with pytest.raises(ConfigError, match=rf"action_space_cfg\.{name}=.* must be (a|two) finite number"):
                AlpamayoR1Config(action_space_cfg={name: value})
    with pytest.raises(ConfigError, match=rf"action_space_cfg\.{field}_std=nan must be a finite number"):
        AlpamayoR1Config(action_space_cfg={f"{field}_std": float("nan")})
