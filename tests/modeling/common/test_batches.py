"""A sample's prediction depends on the sample alone: not on the padding's side, nor on the rest of the batch."""

import pytest
import torch
from model_variants import BOTH

from vlahub.errors import InputError

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.newest
def test_a_row_is_what_it_is_alone_whatever_the_side_of_the_padding(variant, saved):
    alone = torch.cat([variant.predict(saved.model, variant.prediction((row,))) for row in (0, 1)])
    assert (alone[0] - alone[1]).abs().max() > 0.1
    for side in variant.sides:
        torch.testing.assert_close(variant.predict(saved.model, variant.prediction(side=side)), alone, **CLOSE)


def test_rows_in_another_order_and_twice_are_the_same_rows(variant, saved):
    found = variant.predict(saved.model, variant.prediction((1, 0, 1)))
    torch.testing.assert_close(found, saved.actions[[1, 0, 1]], **CLOSE)


def test_padding_holds_nothing(variant, saved):
    """Other tokens where the mask is zero."""
    for side in variant.sides:
        inputs = variant.prediction(side=side)
        hidden = inputs["attention_mask"] == 0
        assert hidden.any()
        inputs["input_ids"] = inputs["input_ids"].masked_fill(hidden, 7)
        torch.testing.assert_close(variant.predict(saved.model, inputs), saved.actions, **CLOSE)


def test_a_mask_of_ones_is_no_mask(variant, saved):
    inputs = variant.prediction((1,))
    assert inputs["attention_mask"].all()
    with_mask = variant.predict(saved.model, inputs)
    del inputs["attention_mask"]
    torch.testing.assert_close(variant.predict(saved.model, inputs), with_mask, **CLOSE)


def test_inputs_are_left_as_they_were(variant, saved):
    inputs = variant.prediction()
    before = {key: value.clone() for key, value in inputs.items() if isinstance(value, torch.Tensor)}
    variant.predict(saved.model, inputs)
    assert [key for key, value in before.items() if not torch.equal(value, inputs[key])] == []


def prompts_of(variant, model, rows, side):
    """Arguments of `generate`; a path is in Alpamayo's prompts, and only CogVLA writes in the light of a state."""
    inputs = variant.prediction(rows, side)
    if variant.family == "alpamayo_r1":
        path = inputs["ego_history_xyz"][:, 0], inputs["ego_history_rot"][:, 0]
        inputs["input_ids"] = model.with_history(inputs["input_ids"], *path)
    names = ["input_ids", "attention_mask", "pixel_values", "image_grid_thw", *["state"] * (variant.family == "cogvla")]
    return {name: inputs[name] for name in names if name in inputs}


def test_text_is_the_same_on_either_side_of_padding(variant, saved):
    greedy = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
    alone = [saved.model.generate(**prompts_of(variant, saved.model, [row], "left"), **greedy) for row in BOTH]
    for side in ("left", "right"):
        prompts = prompts_of(variant, saved.model, BOTH, side)
        found = saved.model.generate(**prompts, **greedy)
        assert torch.equal(found[:, -3:], torch.cat([each[:, -3:] for each in alone]))
        assert found.shape[1] == 3 or torch.equal(found[:, :-3], prompts["input_ids"])


def test_prompts_as_embeddings_are_refused(variant, saved):
    """Their padding would stay where it is, and images would have no places."""
    prompts = prompts_of(variant, saved.model, BOTH, "right")
    embeds = {"inputs_embeds": saved.model.get_input_embeddings()(torch.ones_like(prompts["input_ids"]))}
    without_ids = {name: value for name, value in prompts.items() if name != "input_ids"}
    for given in [prompts] + [without_ids] * (variant.family == "mapanything_llava3d"):  # the others cannot do without
        with pytest.raises(InputError, match="inputs_embeds: generate reads input_ids"):
            saved.model.generate(**given, **embeds, max_new_tokens=3)
