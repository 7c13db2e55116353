"""A whole prediction is one graph: nothing in it asks the device, a config file or Python for a number on the way."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def forget_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_a_robots_prediction_is_one_graph_and_the_same_numbers(family, family_checkpoint, family_call):
    if not hasattr(family.model, "predict_action"):
        pytest.skip("its text ends where the model ends it; the part behind it is tried with the family")
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    processor = family.processor.from_pretrained(family_checkpoint)
    views = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)
    plain = family_call(model, processor, views)
    model.predict_action = torch.compile(model.predict_action, backend="eager", fullgraph=True)
    found = family_call(model, processor, views)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)
