"""A prediction is one graph for `torch.compile`, and a loss is as otherwise under it."""

import pytest
import torch
from model_variants import FEW

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
METHODS = {"alpamayo_r1": "predict_trajectories"}  # of a scene that was checked on the host


@pytest.fixture(autouse=True)
def fresh_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled_prediction(variant, model):
    """After an eager one, in which transformers hooks in what collects hidden states, under a lock."""
    method = METHODS.get(variant.family, "predict_action")
    variant.predict(model, variant.prediction())
    setattr(model, method, torch.compile(getattr(model, method), backend="eager", fullgraph=True))
    return variant.predict(model, variant.prediction())


@pytest.mark.slow
def test_a_prediction_is_one_graph(variant, name, saved):
    if name == "vlm-qwen-mlp":
        pytest.skip("transformers' Qwen2.5-VL reads the sizes of images from the device: docs/real-time-composed.md")
    torch.testing.assert_close(compiled_prediction(variant, variant.model()), saved.actions, **CLOSE)


@pytest.mark.newest
@pytest.mark.parametrize("variant", FEW[:1], indirect=True)
def test_a_prediction_of_the_smallest_is_one_graph(variant, saved):
    torch.testing.assert_close(compiled_prediction(variant, variant.model()), saved.actions, **CLOSE)


@pytest.mark.slow
def test_a_compiled_model_has_the_same_loss_and_gradients(variant):
    model, inputs = variant.model().train(), variant.training()
    wanted = model(**inputs).loss
    wanted.backward()
    gradients = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    loss = torch.compile(model, backend="eager")(**inputs).loss
    loss.backward()
    torch.testing.assert_close(loss, wanted, **CLOSE)
    for key, value in gradients.items():
        torch.testing.assert_close(model.get_parameter(key).grad, value, rtol=1e-3, atol=1e-4)
