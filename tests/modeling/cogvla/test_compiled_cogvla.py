"""A prediction is one graph with every head and every way of decoding, and its numbers are those of eager torch."""

import pytest
import torch

pytestmark = pytest.mark.slow  # compiling takes seconds; one case a family is in test_compiled_predictions.py

OPENVLA = {"vision_aggregate_type": "concat", "use_lfp": False, "use_film": False, "use_aggr": False}
SINGLE = {"num_images_in_input": 1, "state_dim": None}
CASES = {
    "l1": {"action_head": "l1"},
    "l1 of openvla-oft": {"action_head": "l1", "action_attention": "bidirectional", **OPENVLA},
    "discrete": {"action_head": "discrete"},
    "discrete of one view without state": {"action_head": "discrete", "action_attention": "bidirectional", **SINGLE},
    "diffusion in all steps": {"action_head": "diffusion", "num_diffusion_steps": 2},
    "diffusion in fewer steps": {"action_head": "diffusion", "num_diffusion_steps": 6, "num_inference_steps": 2},
    "token by token": {"action_head": "discrete", "action_attention": "causal", "num_action_chunks": 1},
    "token by token of openvla": {
        "action_head": "discrete",
        "action_attention": "causal",
        "num_action_chunks": 1,
        **OPENVLA,
        **SINGLE,
    },
}


@pytest.fixture(autouse=True)
def forget_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("case", CASES)
def test_a_prediction_is_one_graph_and_has_the_numbers_of_eager_torch(case, tiny_model, tiny_batch):
    number = list(CASES).index(case)
    implementation, side = ("sdpa", "eager")[number % 2], ("left", "right")[number % 2]
    model = tiny_model(implementation, **CASES[case], text_config={"num_hidden_layers": 2})
    arguments = tiny_batch(model.config, side).prediction()
    plain = model.predict_action(**arguments, return_dict=True)
    compiled = torch.compile(model.predict_action, backend="eager", fullgraph=True)
    found = compiled(**arguments, return_dict=True)
    assert found.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(found[name], plain[name], rtol=1e-5, atol=1e-5)


def test_a_compiled_prediction_that_is_not_finite_or_reads_a_row_of_padding_is_an_error(tiny_model, tiny_batch):
    model = tiny_model(text_config={"num_hidden_layers": 1}, **OPENVLA, **SINGLE)
    arguments = tiny_batch(model.config).prediction()
    compiled = torch.compile(model.predict_action, backend="eager", fullgraph=True)
    compiled(**arguments)
    pixel_values, mask = arguments["pixel_values"].clone(), arguments["attention_mask"].clone()
    pixel_values[1, 0, 0, 0, 0], mask[1] = float("nan"), 0
    with pytest.raises(RuntimeError, match="NaN or infinite"):
        compiled(**{**arguments, "pixel_values": pixel_values})
    with pytest.raises(RuntimeError, match="row of padding alone"):
        compiled(**{**arguments, "attention_mask": mask})
