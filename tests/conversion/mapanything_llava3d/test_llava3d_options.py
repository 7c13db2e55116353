"""What is said of a LLaVA-3D on the command line: each option is read as what it is, and is a field of its own."""

import argparse
from dataclasses import fields

import pytest
from tiny_configs import llava3d_config

from vlahub.conversion.mapanything_llava3d.options import (
    CHUNK,
    MODEL_FIELDS,
    Llava3DOptions,
    Llava3DRunOptions,
    add_assembly_arguments,
    add_creation_arguments,
    add_run_arguments,
)

GIVEN = {  # of every command
    "expert_layer_alignment": ("--expert-layer-alignment even", "even"),
    "prefix_attention": ("--prefix-attention causal", "causal"),
    "context": ("--context concat", "concat"),
    "output_projection": ("--output-projection none", "none"),
    "pixel_range": ("--pixel-range unit", "unit"),
    "geometry_normalization": ("--geometry-normalization none", "none"),
    "statistics": ("--statistics s.json", None),
    "tokenizer": ("--tokenizer t", "t"),
    "geometry": ("--geometry g", "g"),
    "no_geometry": ("--no-geometry", True),
}
OF_A_START = {
    "action_expert_type": ("--action-expert-type deep_fusion+dit", "deep_fusion+dit"),
    "expert_hidden_size": ("--expert-hidden-size 64", 64),
    "expert_num_layers": ("--expert-num-layers 3", 3),
    "expert_mlp_ratio": ("--expert-mlp-ratio 2.5", 2.5),
    "expert_init": ("--expert-init base", "base"),
    "expert_init_layers": ("--expert-init-layers 0 3 5", [0, 3, 5]),
    "dit_num_layers": ("--dit-num-layers 4", 4),
    "condition_dropout": ("--condition-dropout 0.25", 0.25),
    "num_embodiments": ("--num-embodiments 2", 2),
    "action_dim": ("--action-dim 7", 7),
    "num_action_chunks": ("--num-action-chunks 8", 8),
    "use_state": ("--use-state", True),
    "state_dim": ("--state-dim 9", 9),
    "normalization": ("--normalization bounds", "bounds"),
    "seed": ("--seed 3", 3),
}
OF_A_RUN = {"step": ("--step final", "final"), "use_state": ("--no-state", False), "vision": ("--vision v", "v")}
PARTS = ["--vision", "v", "--language", "l"]


def parsed(add_arguments, *words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return vars(parser.parse_args(words))


@pytest.mark.parametrize(
    ("add_arguments", "given", "needed"),
    [
        (add_assembly_arguments, GIVEN | OF_A_START, PARTS),
        (add_creation_arguments, GIVEN | OF_A_START, []),
        (add_run_arguments, GIVEN | OF_A_RUN, []),
    ],
)
def test_each_option_is_read_as_what_it_is_and_changes_nothing_else(add_arguments, given, needed):
    plain = parsed(add_arguments, *needed)
    assert {name for name, value in plain.items() if value is not None} == {word[2:] for word in needed[::2]} | (
        {"seed"} & given.keys()
    )
    for name, (words, value) in given.items():
        found = parsed(add_arguments, *needed, *words.split())
        assert {other: found[other] for other in found if found[other] != plain[other]}.keys() == {name}
        assert value is None or (found[name] == value and type(found[name]) is type(value)), name


def test_an_assembly_needs_its_parts_and_a_creation_may_have_a_base():
    for words in (PARTS[:2], PARTS[2:]):
        with pytest.raises(SystemExit):
            parsed(add_assembly_arguments, *words)
    assert parsed(add_creation_arguments, "--base", "b")["base"] == "b"


def test_options_that_are_fields_of_the_config_reach_it_as_they_are():
    """But for those of which statistics say the rest."""
    inferred = {"action_dim", "action_expert_type", "num_inference_steps", "state_dim", "use_state"}
    config = llava3d_config()
    names = {option.name for kind in (Llava3DOptions, Llava3DRunOptions) for option in fields(kind)}
    assert {name for name in names if name in dir(config)} - inferred == set(MODEL_FIELDS)
    assert CHUNK in config.to_dict()
