"""Policies of other projects are known by what their folders hold, and no other model is taken for one."""

import json

import pytest

from vlahub.conversion.folders.other_policies import other_policy

BOTH = {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"type": "pi05"}, "pi0 (config.json says 'pi05')"),
        ({"type": None, "model_type": "PI0"}, "pi0 (config.json says 'PI0')"),
        ({"architectures": [5, "GR00T_N1_5"]}, "GR00T (config.json says 'GR00T_N1_5')"),
        ({"model_type": "rdt"}, "a policy of another project (config.json says 'rdt')"),
        ({"type": "diffusion"}, "a policy of LeRobot (config.json says 'diffusion')"),
        (BOTH, "pi0 (a config.json of openpi)"),
        ({"paligemma_variant": "gemma_2b"}, None),
        ({"model_type": "paligemma"}, None),
        ({"model_type": "actor"}, None),
        ({"model_type": "llama", "architectures": None}, None),
        ({}, None),
    ],
)
def test_a_policy_is_known_by_a_whole_name_of_its_config(config, said, tmp_path):
    found = other_policy(tmp_path, config)
    assert found is None if said is None else found.startswith(f"{said}, which vlahub neither loads nor converts: ")


def test_who_loads_it_is_said_of_one_and_of_several(tmp_path):
    assert other_policy(tmp_path, {"type": "act"}).endswith(
        ": LeRobot loads what it saves, and there is nothing to merge"
    )
    assert "Isaac-GR00T and LeRobot load what they save" in other_policy(tmp_path, {"type": "groot"})


def test_a_training_of_lerobot_is_known_by_its_inner_folder_unless_it_has_a_config_itself(tmp_path):
    (tmp_path / "pretrained_model").mkdir()
    (tmp_path / "pretrained_model" / "config.json").write_text(json.dumps({"type": "act"}))
    assert other_policy(tmp_path, {}).startswith("a policy of LeRobot")
    assert other_policy(tmp_path, {"model_type": "llama"}) is None


@pytest.mark.parametrize("file", ["_METADATA", "manifest.ocdbt"])
def test_a_checkpoint_in_jax_is_openpis_where_it_has_statistics(file, tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / file).touch()
    assert other_policy(tmp_path, {}) is None
    (tmp_path / "assets" / "droid").mkdir(parents=True)
    (tmp_path / "assets" / "droid" / "norm_stats.json").touch()
    assert other_policy(tmp_path, {}).startswith("pi0 (a checkpoint of openpi in JAX)")
    (tmp_path / "params" / file).unlink()
    assert other_policy(tmp_path, {}) is None
