"""A sample's prediction depends on the sample alone: not on the padding's side, nor on the rest of the batch."""

import pytest
import torch

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
