"""torch's default dtype, which a script may set for models of its own, changes nothing of a model that is there."""

import pytest
import torch
import transformers
from model_variants import VARIANTS

from vlahub.modeling.alpamayo_r1.vision_encoding import patch_places
from vlahub.modeling.ode_sampling import times_at

DRAWN = ("noise", "time", "timesteps")


@pytest.fixture(params=[torch.bfloat16, torch.float64], ids=["bfloat16", "float64"])
def another_default(request):
    """Switches the default dtype to another one."""
    before = torch.get_default_dtype()
    yield lambda: torch.set_default_dtype(request.param)
    torch.set_default_dtype(before)


def without_draws(inputs):
    return {name: value for name, value in inputs.items() if name not in DRAWN}


def answers(variant, model, inputs, training):
    """Predictions, with and without draws of the model's own; samples; and losses, with and without such draws."""
    patch_places.cache_clear()
    calls = [lambda: variant.predict(model, inputs), lambda: model(**training).loss]
    calls.append(lambda: variant.predict(model, without_draws(inputs)))
    calls.append(lambda: model(**without_draws(training)).loss)
    if model.config.draws_samples and variant.family != "alpamayo_r1":
        calls.append(lambda: model.predict_action(**without_draws(inputs), num_samples=2).actions)
    found = []
    with torch.no_grad():
        for call in calls:
            torch.manual_seed(0)
            found.append(call())
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_predictions_losses_and_draws_are_the_same(name, another_default):
    variant = VARIANTS[name]
    given = variant.model(), variant.prediction(), variant.training()
    wanted = answers(variant, *given)
    another_default()
    found = answers(variant, *given)
    assert all(each.dtype == torch.float32 for each in found)
    # 4.57's own tower of Qwen3-VL, which a training runs, places patches in the default dtype.
    near = 1e-4 if variant.family == "alpamayo_r1" and transformers.__version__.startswith("4.") else 0
    assert all((one - two).abs().max() <= near for one, two in zip(found, wanted, strict=True))


def test_what_is_kept_for_later_calls_is_float32(another_default):
    another_default()
    assert patch_places(((1, 52, 30),), 2, 48, torch.device("cpu")).shares.dtype == torch.float32
    assert times_at([0.0, 0.1], torch.device("cpu")).dtype == torch.float32
