"""Models of lower precision predict like others: from graphs, compiled, and where vlahub is not installed.

Their numbers are drawn, so torchao is not needed.
"""

import numpy as np
import pytest
import torch
from packed_weights import fill
from test_remote_code import AUTO_CLASSES, ROUNDING, in_a_fresh_process
from traced_graphs import TracedGraph

from vlahub.conversion.quantised_layers import as_settings, layers_to_quantise
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.quantized_linear import QuantizedLinear, dequantised


def drawn_numbers(family, checkpoint, kind, folder):
    """The given checkpoint with layers of lower precision, whose weights are of variance 1 / inputs or so."""
    full = family.model.from_pretrained(checkpoint, dtype=torch.float32)
    config = family.config.from_pretrained(checkpoint)
    config.weight_quantization = as_settings(layers_to_quantise(full, kind), kind)
    model = family.model(config).eval()
    left = model.load_state_dict(full.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            fill(module, generator)
    assert all(name.endswith((".qweight", ".weight_scale", ".weight_zero_point")) for name in left.missing_keys)
    model.save_pretrained(folder)
    family.processor.from_pretrained(checkpoint).save_pretrained(folder)
    return folder


@pytest.fixture
def views():
    return np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)


# With int4 go layers in int8.
@pytest.mark.parametrize("kind", [pytest.param("fp8", marks=pytest.mark.slow), "int4"])
def test_predictions_from_graphs_are_those_without(family, family_checkpoint, family_call, views, kind, tmp_path):
    folder = drawn_numbers(family, family_checkpoint, kind, tmp_path)
    model, processor = family.model.from_pretrained(folder).eval(), family.processor.from_pretrained(folder)
    plain = family_call(model, processor, views)
    model.fast_prediction = FastPrediction(model, {"length_bucket": 16}, TracedGraph)
    for _ in range(2):
        torch.testing.assert_close(family_call(model, processor, views), plain, rtol=1e-4, atol=1e-4)
    stats = model.fast_prediction_stats
    assert stats.captures >= 1 and stats.replays >= 2 * stats.captures
    assert stats.eager_fallbacks == 0, stats.eager_reasons


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fp8", "int4"])
def test_a_prediction_is_one_graph(family, family_checkpoint, family_call, views, kind, tmp_path):
    if not hasattr(family.model, "predict_action"):
        pytest.skip("its text ends where the model ends it")
    folder = drawn_numbers(family, family_checkpoint, kind, tmp_path)
    model, processor = family.model.from_pretrained(folder).eval(), family.processor.from_pretrained(folder)
    plain = family_call(model, processor, views)
    torch._dynamo.reset()
    model.predict_action = torch.compile(model.predict_action, backend="eager", fullgraph=True)
    torch.testing.assert_close(family_call(model, processor, views), plain, rtol=1e-5, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_fresh_process_without_vlahub_predicts_the_same_actions(
    family, family_checkpoint, family_call, views, tmp_path
):
    folder = drawn_numbers(family, family_checkpoint, "int4", tmp_path / "checkpoint")
    np.save(tmp_path / "views.npy", views)
    found = in_a_fresh_process(family, folder, tmp_path / "views.npy", tmp_path, AUTO_CLASSES[:1])
    actions = torch.tensor(found["actions"][AUTO_CLASSES[0]])
    model, processor = family.model.from_pretrained(folder), family.processor.from_pretrained(folder)
    torch.testing.assert_close(actions, family_call(model, processor, views), **ROUNDING)


def test_of_two_numbers_in_a_byte_the_first_is_in_the_lower_half():
    numbers = torch.arange(64).view(2, 32) % 16
    packed = (numbers[:, ::2] + 16 * numbers[:, 1::2]).to(torch.uint8)
    scale, zero_point = torch.tensor([[0.5], [0.25]]), torch.tensor([[3], [0]], dtype=torch.uint8)
    found = dequantised("int4", packed, scale, zero_point, torch.float32)
    assert torch.equal(found, (numbers - zero_point) * scale)


@pytest.mark.parametrize("kind", ["int8", "fp8", "int4"])
def test_scales_stay_as_they_are_where_a_model_gets_another_dtype(kind):
    layer = QuantizedLinear(torch.nn.Linear(32, 4), kind)
    layer.weight_scale.fill_(0.1)
    layer.to(torch.bfloat16)
    assert layer.bias.dtype == torch.bfloat16 and layer.weight_scale.dtype == torch.float32
    assert (layer.weight_scale == torch.tensor(0.1)).all()
