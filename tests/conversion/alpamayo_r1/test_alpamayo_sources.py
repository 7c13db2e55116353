"""What of the files of an Alpamayo is a constant, an expert's or the base's, and what a card and a start say of it."""

import argparse
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from vlahub.conversion.alpamayo_r1.alpamayo_family import ALPAMAYO_R1, is_converted_alpamayo
from vlahub.conversion.alpamayo_r1.card import alpamayo_values, origin
from vlahub.conversion.alpamayo_r1.constants import check_constants, constants_of, numbers_text
from vlahub.conversion.alpamayo_r1.creation import switches_of
from vlahub.conversion.alpamayo_r1.names import CONSTANT, TABLE
from vlahub.conversion.alpamayo_r1.start_options import AlpamayoStartOptions, add_start_arguments
from vlahub.conversion.alpamayo_r1.weights import expert_table, has_expert
from vlahub.conversion.tensors.rename import rename
from vlahub.errors import ConversionError

SPACE = {"accel_mean": 0.5, "accel_std": 2.0, "curvature_mean": 0.25, "curvature_std": 0.125}
CONFIG = SimpleNamespace(action_space_cfg=SPACE, action_in_proj_cfg={"num_fourier_feats": 8, "max_freq": 100.0})
KNOWN = {
    **{f"action_space.{name}": torch.tensor(value) for name, value in SPACE.items()},
    **{
        f"action_in_proj.{part}.freqs": torch.logspace(0, 2, 4)[None]
        for part in ("sinus.0", "sinus.1", "timestep_fourier_encoder")
    },
}


def stored(**changed):
    """Files with these constants, the first of which has another prefix, and a tensor that is none."""

    def left(key, value, reason=CONSTANT):
        source = SimpleNamespace(key=key, load=lambda: value, file=SimpleNamespace(path="x.safetensors"))
        return SimpleNamespace(source=source, reason=reason)

    found = [left(name, value) for name, value in (KNOWN | changed).items()]
    found[0].source.key = f"module.{found[0].source.key}"
    return SimpleNamespace(leftovers=[*found, left("rotary_emb.inv_freq", torch.zeros(1), "computed")])


def test_constants_are_those_of_the_config():
    found = constants_of(CONFIG)
    assert found.keys() == KNOWN.keys()
    for name, value in found.items():
        assert value.dtype == torch.float64 and value.shape == KNOWN[name].shape
        torch.testing.assert_close(value, KNOWN[name].double())
    check_constants(stored(), CONFIG)
    check_constants(stored(**{name: value.bfloat16() for name, value in KNOWN.items()}), CONFIG)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("action_space.curvature_std", torch.tensor(0.13), "curvature_std is 0.13, but config.json gives 0.125"),
        ("action_space.accel_mean", torch.tensor([0.5, 0.5]), r"accel_mean is \[0.5, 0.5\], but config.json gives 0.5"),
        ("action_space.accel_std", torch.tensor(float("nan")), "accel_std is nan, but"),
        ("action_in_proj.sinus.1.freqs", torch.tensor([[1.0, 4.64159, 21.5443, 101.0]]), r"\[1.0, 4.64159, .* 101.0\]"),
        ("action_in_proj.sinus.1.freqs", torch.logspace(0, 2, 4), "but config.json gives"),
        ("action_space.jerk_mean", torch.tensor(0.0), "holds the constant action_space.jerk_mean; known are action_sp"),
    ],
)
def test_a_constant_of_another_config_is_named_with_both_values(name, value, said):
    with pytest.raises(ConversionError, match=rf"^x\.safetensors.*{said}"):
        check_constants(stored(**{name: value}), CONFIG)


def test_many_numbers_are_told_by_their_first_ones():
    assert numbers_text(torch.tensor([[2.0]])) == "2.0" and numbers_text(torch.arange(10.0)).endswith(", 9.0]")
    assert numbers_text(torch.arange(11.0)) == f"{[float(i) for i in range(10)]}, ... (11 numbers)"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *(("expert.layers.0.x", True), ("action_in_proj.norm.weight", True), ("action_out_proj.bias", True)),
        *(("vlm.lm_head.weight", False), ("vlm.expert.weight", False), ("experts.x", False)),
    ],
)
def test_an_expert_is_there_where_any_tensor_is_its_own(name, is_one):
    assert has_expert(SimpleNamespace(candidates={"vlm.model.x": 1, name: 2})) == is_one


def test_of_a_release_the_expert_alone_is_taken():
    assert rename("vlm.lm_head.weight", expert_table(), "x").target is None
    assert rename("vlm.lm_head.weight", TABLE, "x").target == "vlm.lm_head.weight"
    assert rename("expert.norm.weight", expert_table(), "x").target == "expert.norm.weight"


REPORT = {"inputs": {"run": "r"}, "settings": {}, "tensors": {}}


def test_a_card_says_what_was_compared_which_release_it_is_and_what_grew():
    assert alpamayo_values(None, REPORT) == {"constants": "", "new": ""}
    said = alpamayo_values(None, REPORT | {"inputs": {"run": "r", "vlm": "v"}})
    assert "was compared" in said["constants"] and said["new"] == ""
    settings = {"release": {"value": "Alpamayo 1.5"}, "new_embedding_rows": {"value": 1234}}
    said = alpamayo_values(None, REPORT | {"settings": settings})
    assert said["constants"] == " The release is Alpamayo 1.5." and "have 1,234 new rows" in said["new"]
    assert alpamayo_values(None, REPORT | {"settings": {"new_embedding_rows": {"value": 0}}})["new"] == ""


def test_the_weights_of_a_start_are_its_bases_and_else_the_runs():
    licences = {"run": {"license": "mit"}, "base": {"license": "apache-2.0"}}
    inputs = {"run": "user/run", "base": "user/base"}
    assert (origin(inputs, licences).base_model, origin(inputs, licences).licence) == ("user/base", licences["base"])
    del licences["base"]
    assert (origin(inputs, licences).base_model, origin(inputs, licences).licence) == ("user/run", licences["run"])


def test_a_config_is_ours_where_the_vlms_is_in_it():
    assert is_converted_alpamayo({"vlm_config": {}}) and not is_converted_alpamayo({"vlm_config": "name"})
    assert not is_converted_alpamayo({}) and ALPAMAYO_R1.parts == {"vlm": False, "expert": True}
    assert ALPAMAYO_R1.needed == " --vlm BASE"


def test_every_option_of_a_start_is_its_own_field_of_the_config():
    parser = argparse.ArgumentParser()
    add_start_arguments(parser)
    numbers = {field.name: number for number, field in enumerate(fields(AlpamayoStartOptions), 11)}
    words = [word for name, number in numbers.items() for word in (f"--{name.replace('_', '-')}", str(number))]
    given = vars(parser.parse_args(["--base", "b", *words]))
    assert given.pop("base") == "b" and given == numbers
    assert switches_of(AlpamayoStartOptions(**given)) == {
        "expert_cfg": {"hidden_size": 11, "intermediate_size": 12, "num_attention_heads": 13},
        "num_action_chunks": 14,
        "tokens_per_history_traj": 45,
        "traj_tokenizer_cfg": {"num_bins": 16},
        "hist_traj_tokenizer_cfg": {"num_bins": 17},
        "min_pixels": 18,
        "max_pixels": 19,
    }
    assert switches_of(AlpamayoStartOptions()) == {}
    assert switches_of(AlpamayoStartOptions(num_history_poses=4), 2) == {"tokens_per_history_traj": 8}
