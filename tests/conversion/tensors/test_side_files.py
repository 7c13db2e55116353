"""Side files of a run, and adapters that no merge can take: refused before anything is read."""

import json

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint
from vlahub.conversion.tensors.lora_merge import read_lora_config
from vlahub.conversion.tensors.side_files import find_side_files
from vlahub.errors import ConversionError

KINDS = ("action_head", "proprio_projector")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["action_head--10_checkpoint.pt", "proprio_projector--20_checkpoint.pt"], "side files of different steps"),
        (["action_head--10_checkpoint.pt", "action_head--20_checkpoint.pt"], "several action_head files"),
    ],
)
def test_side_files_of_several_steps_are_refused_by_their_names(names, message, tmp_path):
    for name in names:
        torch.save({"w": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(ConversionError, match=message) as error:
        find_side_files(tmp_path, KINDS)
    assert all(name in str(error.value) for name in names)
    (tmp_path / names[1]).unlink()
    assert list(find_side_files(tmp_path, KINDS)) == ["action_head"]


@pytest.mark.parametrize(
    "field",
    [
        {"layer_replication": [[0, 2], [1, 2]]},
        {"target_parameters": ["experts.w"]},
        {"arrow_config": {"top_k": 2}},
        {"use_bdlora": {"nblocks": 2}},
        {"megatron_config": {"tensor_model_parallel_size": 2}},
        {"kasa_config": {"beta": 1e-4}},
        {"monteclora_config": {"num_samples": 4}},
        {"velora_config": {"num_groups": 8}},
        {"alora_invocation_tokens": [1, 2]},
    ],
)
def test_an_adapter_with_what_cannot_be_merged_layer_by_layer_is_refused_by_the_field(field, tmp_path):
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], **field}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError, match=f"{next(iter(field))} is set; adapters with it are not supported"):
        read_lora_config(tmp_path)


def test_what_the_installed_peft_does_not_know_is_refused_by_name_where_it_says_something(tmp_path):
    """PEFT leaves it out, with a warning, and the adapter would be merged as another one than was trained."""
    known = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["q_proj"], "peft_version": "9.0"}

    def read(**more):
        (tmp_path / "adapter_config.json").write_text(json.dumps(known | more))
        return read_lora_config(tmp_path)

    with pytest.raises(ConversionError, match=r"does not know alpha_law, use_twist \(it was saved by PEFT 9\.0\)"):
        read(use_twist=True, alpha_law="cubic", twist_config=None)
    with pytest.warns(UserWarning, match="twist_config"):  # PEFT's own
        assert read(use_twist=False, twist_config=None, twists={}).lora_alpha == 6


CANNOT = [
    *({"target_parameters": ["experts.w"]}, {"layer_replication": [[0, 2]]}, {"init_lora_weights": "loftq"}),
    *({"peft_type": "LOHA"}, {"rank_pattern": {"q": 0}}, {"use_twist": True}),
]


@pytest.mark.parametrize("field", [*CANNOT, {}, {"use_dora": True}, {"init_lora_weights": "pissa", "use_twist": None}])
def test_what_a_merge_refuses_of_settings_is_said_by_inspect(field, tmp_path):
    """In the merge's own words."""
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], **field}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    save_file({"base_model.model.q_proj.lora_A.weight": torch.zeros(2, 4)}, tmp_path / "adapter_model.safetensors")
    inspection = inspect_checkpoint(str(tmp_path))
    said = [oddity for oddity in inspection.oddities if "cannot be merged" in oddity]
    assert bool(inspection.next_steps) == (field not in CANNOT)
    if field in CANNOT:
        with pytest.raises(ConversionError) as refused:
            read_lora_config(tmp_path)
        assert said == [f"it cannot be merged: {refused.value}".replace(f"{tmp_path}/", "")]
    else:
        assert not said and read_lora_config(tmp_path).r == 2
