"""A composed model's whole prediction is one graph, whatever it is composed of.

Each is called once before: transformers 5 puts hooks into some vision towers when they are first called, under a lock
that no graph can hold.
"""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from tiny_configs import composed_config

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction

pytestmark = pytest.mark.slow  # compiling takes seconds; one case a family is in test_compiled_predictions.py


def beside(name):
    """Another file of tests in this folder, for its sizes and batches."""
    spec = importlib.util.spec_from_file_location(f"compiled_{name}", Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


backbones, vlms, towers = map(beside, ("test_multimodal_vla", "test_multimodal_vlms", "test_two_towers"))
choices = beside("test_backbone_choices")


@pytest.fixture
def one_graph():
    """`one_graph(function)`: the same, compiled; an error where it is more than one graph."""
    torch._dynamo.reset()
    yield lambda function: torch.compile(function, backend="eager", fullgraph=True)
    torch._dynamo.reset()


def assert_one_graph(model, inputs, one_graph):
    wanted = model.predict_action(**inputs)
    found = one_graph(model.predict_action)(**inputs)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("projector", "fusion", "head"),
    [
        ("linear", "early", "discrete"),
        ("mlp", "cross_attention", "flow"),
        ("perceiver", "late", "mlp"),
        ("qformer", "film", "flow"),
        ("token_learner", "early", "mlp"),
        ("perceiver", "gated_cross_attention", "flow"),
    ],
)
def test_a_prediction_of_two_padded_prompts_is_one_graph(randomized, one_graph, projector, fusion, head):
    choices = {"projector_type": projector, "fusion": fusion, "action_head": head}
    config = composed_config(**choices, num_inference_steps=2)
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    assert_one_graph(model, backbones.Batch(config).prediction(), one_graph)


@pytest.mark.parametrize(("name", "layer"), [("concat", None), ("concat", -2), ("moe", -2), ("late", None)])
def test_a_prediction_with_two_towers_is_one_graph(randomized, one_graph, name, layer):
    config = composed_config(**{**towers.PAIR, **towers.CHOICES[name], "vision_feature_layer": layer})
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    pixels = towers.pixels(3 * len(config.towers))
    assert_one_graph(model, towers.arguments(model, pixel_values=pixels), one_graph)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("paligemma", {"fusion": "film", "action_head": "discrete"}),
        ("llava", {"fusion": "late"}),
        ("llava", {"projector_type": "perceiver", "fusion": "early"}),
    ],
)
def test_a_prediction_with_a_vlm_is_one_graph(randomized, one_graph, name, fields):
    """Not with a Qwen-VL: transformers reads the sizes of its images from the values of `image_grid_thw`."""
    vlm = {"model_type": name, **vlms.VLMS[name]}
    config = MultimodalVLAConfig(vlm_config=vlm, **vlms.OPTIONS, **fields)
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    assert_one_graph(model, vlms.Batch(name).prediction(config.action_head), one_graph)


def test_a_prediction_beside_a_text_tower_is_one_graph_and_so_is_grounding(randomized, one_graph):
    config = composed_config(vision_config=backbones.TWO_TOWERS["siglip"]())
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    batch, ids = backbones.Batch(config), torch.tensor([[5, 6, 7, 59], [8, 9, 59, 59]])
    assert_one_graph(model, batch.prediction(), one_graph)
    wanted = model.grounding_score(batch.pixels, ids)
    torch.testing.assert_close(one_graph(model.grounding_score)(batch.pixels, ids), wanted)


def test_too_few_image_tokens_end_a_compiled_prediction(randomized, one_graph):
    vlm = {"model_type": "llava", **vlms.VLMS["llava"]}
    config = MultimodalVLAConfig(vlm_config=vlm, **vlms.OPTIONS, fusion="late")
    model = MultimodalVLAForActionPrediction(config).eval()
    inputs = vlms.Batch("llava").prediction("mlp")
    model.predict_action(**inputs)
    inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == vlms.IMAGE, 5)
    with pytest.raises(RuntimeError, match="image tokens"):
        one_graph(model.predict_action)(**inputs)


@pytest.mark.parametrize("kind", ["convnext", "dinov3_vit", "resnet", "swin"])
def test_a_prediction_with_another_tower_is_one_graph(one_graph, kind):
    """Not with SigLIP 2 NaFlex: transformers reads the shapes of its images from the values of `spatial_shapes`."""
    model = choices.composed(vision_config=choices.tower_config(kind), num_inference_steps=2)
    assert_one_graph(model, choices.inputs_of(model.config, 64), one_graph)


@pytest.mark.parametrize(("kind", "fusion", "pooling"), [("bert", "film", "cls"), ("t5", "late", "mean")])
def test_a_prediction_with_a_text_encoder_is_one_graph(one_graph, kind, fusion, pooling):
    fields = {"text_config": choices.encoder_config(kind), "fusion": fusion, "text_pooling": pooling}
    model = choices.composed(**fields)
    assert_one_graph(model, choices.inputs_of(model.config), one_graph)
