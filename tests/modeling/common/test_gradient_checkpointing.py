"""Gradient checkpointing changes neither a loss nor a gradient, and computes less at once."""

import pytest
import torch

from vlahub.configuration.transformers_release import RELEASE

BEFORE_5_23 = RELEASE < (5, 23)
# The name that users call until transformers 6.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*is deprecated:FutureWarning")


def gradients(model, inputs):
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    return loss.detach(), {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


@pytest.mark.newest
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_losses_and_gradients_are_the_same(variant, use_reentrant):
    model, inputs = variant.model().train(), variant.training()
    if use_reentrant:  # wants an input with a gradient, as under PEFT
        model.enable_input_require_grads()
    loss, wanted = gradients(model, inputs)
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    assert model.is_gradient_checkpointing
    if (
        BEFORE_5_23 and use_reentrant and getattr(model.config, "fusion", None) == "gated_cross_attention"
    ):  # as its page says
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            gradients(model, inputs)
        return
    again, found = gradients(model, inputs)
    torch.testing.assert_close(again, loss)
    assert found.keys() == wanted.keys() and len(found) > 20
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_predictions_take_no_notice(variant, saved):
    model = variant.model()
    model.gradient_checkpointing_enable()
    assert torch.equal(variant.predict(model, variant.prediction()), saved.actions)
