"""Heads whose actions end at -1 and 1 are not trained on what lies behind: it would be cut off without a word."""

from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from model_variants import VARIANTS
from PIL import Image

from vlahub.data import ActionChunks, dataset_statistics
from vlahub.errors import InputError
from vlahub.training.action_units import check_units

ROWS = 40
BOUNDED = {name: variant for name, variant in VARIANTS.items() if variant.make().bounded_actions}
FREE = {name: variant for name, variant in VARIANTS.items() if name not in BOUNDED}


def look_at(variant, gripper, kind="bounds_q99", unmasked=(-1,)):
    """`check_units` of two small numbers and a gripper, by their own statistics and the head of a variant."""
    moves = np.random.RandomState(1).uniform(-0.03, 0.03, (ROWS, 2))
    actions = np.column_stack([moves, np.resize(gripper, ROWS)])
    rows = {"action": actions.tolist(), "observation.state": np.zeros((ROWS, 2)).tolist(), "task": ["go"] * ROWS}
    rows |= {"episode_index": [0] * ROWS, "image": [Image.new("RGB", (2, 2))] * ROWS}
    frames = datasets.Dataset.from_dict(rows)
    config = variant.make()
    statistics = dataset_statistics(frames, unmasked_actions=list(unmasked), progress=False)
    facts = {"norm_stats": {"mine": statistics}, "normalization_type": kind}
    facts |= {"bounded_actions": config.bounded_actions, "action_head": getattr(config, "action_head", None)}
    collator = SimpleNamespace(config=SimpleNamespace(**facts), unnorm_key=None)
    check_units(ActionChunks(frames, 4, state="observation.state"), collator)


def test_heads_of_tokens_and_the_diffusion_that_clips_are_bounded():
    heads = {name: getattr(variant.make(), "action_head", None) for name, variant in VARIANTS.items()}
    assert set(BOUNDED) == {name for name, head in heads.items() if head in ("discrete", "diffusion")}
    assert {variant.family for variant in BOUNDED.values()} == {"cogvla", "multimodal_vla"}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bounded_head_is_not_trained_on_deviations_nor_on_a_gripper_that_goes_further(name):
    look_at(BOUNDED[name], [0, 1])
    look_at(BOUNDED[name], [-1, 1])
    look_at(BOUNDED[name], [0, 85], unmasked=())
    with pytest.raises(InputError, match=r"from -1 to 1 alone, and 50% of .* column action .* dimension 2, .*cut off"):
        look_at(BOUNDED[name], [0, 85])
    with pytest.raises(InputError, match="from -1 to 1 alone, and normalization_type='normal' takes them further"):
        look_at(BOUNDED[name], [0, 1], kind="normal")


@pytest.mark.parametrize("name", FREE)
def test_other_heads_are_trained_on_any_of_them(name):
    look_at(FREE[name], [0, 85])
    look_at(FREE[name], [0, 1], kind="normal")
