"""Half precision by a cast is half precision by loading: what has to stay in float32 stays."""

import pytest
import torch
from torch import nn

from vlahub.modeling.modules import computed_constants, keep_precision

CASTS = {"half": torch.float16, "bfloat16": torch.bfloat16, "double": torch.float64}


def buffers_that_differ(found, wanted):
    one, other = dict(found.named_buffers()), dict(wanted.named_buffers())
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key].to(other[key].dtype), other[key])]


@pytest.mark.newest
@pytest.mark.parametrize("cast", ["half", "bfloat16"])
def test_a_model_that_is_cast_is_one_that_was_loaded_so(variant, load, cast):
    model, wanted = getattr(load(), cast)(), load(dtype=CASTS[cast])
    assert {value.dtype for value in model.parameters()} == {CASTS[cast]} and model.dtype == CASTS[cast]
    assert buffers_that_differ(model, wanted) == []
    found = []
    for each in (model, wanted):
        torch.manual_seed(1)  # logits of half precision are often equal, and which of their tokens is written is drawn
        found.append(variant.predict(each, variant.prediction()))
    assert torch.equal(*found)


def test_a_cast_to_bfloat16_and_back_leaves_buffers_as_they_were(load):
    assert buffers_that_differ(load().bfloat16().float(), load()) == []


@pytest.mark.newest
def test_half_precision_predicts_float32_actions_near_the_full_ones(variant, saved, load):
    found = variant.predict(load(dtype=torch.bfloat16), variant.prediction())
    assert found.dtype == torch.float32 and found.isfinite().all()
    assert (found - saved.actions).abs().mean() < 0.35 * saved.actions.std()


@pytest.mark.newest
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_actions_are_float32_and_as_near(variant, saved, load, dtype):
    """Published scripts of Alpamayo-R1 and of trainers call models of either precision so."""
    model, prediction = load(dtype=dtype), variant.prediction()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = variant.predict(model, prediction)
    assert found.dtype == torch.float32 and found.isfinite().all()
    assert (found - saved.actions).abs().mean() < 0.35 * saved.actions.std()


def test_double_precision_predicts_the_same_more_exactly(variant, saved, load):
    found = variant.predict(load().double(), variant.prediction())
    assert (found - saved.actions).abs().max() < 1e-3 * saved.actions.abs().max()


def test_a_loss_in_bfloat16_is_finite_and_near(variant, load):
    losses = [load(dtype=dtype)(**variant.training()).loss for dtype in (torch.float32, torch.bfloat16)]
    assert losses[1].isfinite() and abs(losses[1] - losses[0]) < 0.1 * losses[0]


def test_a_constant_that_keeps_its_precision_goes_where_its_module_goes():
    module = nn.Module()
    module.register_buffer("angles", torch.arange(3.0), persistent=False)
    constants = computed_constants(module)
    module.to("meta", torch.bfloat16)
    keep_precision(constants)
    assert (module.angles.device.type, module.angles.dtype) == ("meta", torch.float32)
