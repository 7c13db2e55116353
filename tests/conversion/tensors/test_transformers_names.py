"""Names of parameters of both lines of transformers lead to those of a model, on whichever line the tests run."""

import pytest
import torch
from torch import nn

from vlahub.conversion.tensors.transformers5_names import TABLE, newer_names, renamed
from vlahub.conversion.tensors.transformers_names import Transformers4Names, Translated

BLOCK = {  # of Dinov2
    "encoder.layer.0.attention.attention.query.weight": "encoder.layer.0.attention.q_proj.weight",
    "encoder.layer.0.attention.attention.key.bias": "encoder.layer.0.attention.k_proj.bias",
    "encoder.layer.0.attention.attention.value.bias": "encoder.layer.0.attention.v_proj.bias",
    "encoder.layer.0.attention.output.dense.weight": "encoder.layer.0.attention.o_proj.weight",
    "encoder.layer.0.mlp.weights_out.weight": "encoder.layer.0.mlp.down_proj.weight",
    "encoder.layer.0.mlp.weights_output.weight": "encoder.layer.0.mlp.weights_output.weight",
    "encoder.layer.0.norm1.weight": "encoder.layer.0.norm1.weight",
}
VIT = {
    "encoder.layer.3.attention.attention.query.weight": "layers.3.attention.q_proj.weight",
    "encoder.layer.3.attention.attention.key.weight": "layers.3.attention.k_proj.weight",
    "encoder.layer.3.attention.attention.value.bias": "layers.3.attention.v_proj.bias",
    "encoder.layer.3.attention.output.dense.weight": "layers.3.attention.o_proj.weight",
    "encoder.layer.3.intermediate.dense.weight": "layers.3.mlp.fc1.weight",
    "encoder.layer.3.output.dense.weight": "layers.3.mlp.fc2.weight",
    "layernorm.weight": "layernorm.weight",
    "encoder.layer.3.encoder.layer.4.x": "layers.3.encoder.layer.4.x",
}
VISION = {"vision_model.encoder.layers.1.mlp.fc1.weight": "encoder.layers.1.mlp.fc1.weight"}
VISION |= {"head.vision_model.x": "head.vision_model.x"}
TEXT = {"text_model.embeddings.token_embedding.weight": "embeddings.token_embedding.weight"}
NAMES = {  # class: its names on 4.57, and on 5
    **dict.fromkeys(("SiglipVisionModel", "Siglip2VisionModel", "CLIPVisionModel", "MLCDVisionModel"), VISION),
    **dict.fromkeys(("AltCLIPVisionModel", "ChineseCLIPVisionModel", "CLIPSegVisionModel"), VISION),
    "MetaClip2VisionModel": VISION,
    **dict.fromkeys(("SiglipTextModel", "Siglip2TextModel", "CLIPTextModel", "CLIPSegTextModel"), TEXT),
    "MetaClip2TextModel": TEXT,
    **dict.fromkeys(("Dinov2Model", "Dinov2WithRegistersModel"), BLOCK),
    **dict.fromkeys(("Dinov2Backbone", "Dinov2WithRegistersBackbone"), BLOCK),
    **dict.fromkeys(("ViTModel", "BeitModel", "IJepaModel", "ASTModel", "DeiTModel"), VIT),
    **dict.fromkeys(("ViTMAEModel", "ViTMSNModel", "VivitModel"), VIT),
    "DINOv3ViTModel": {"layer.2.norm1.weight": "model.layer.2.norm1.weight", "model.layer.2.x": "model.layer.2.x"},
    "DINOv3ConvNextModel": {"stages.0.x": "model.stages.0.x", "model.stages.0.x": "model.stages.0.x"},
    "GPTNeoXForCausalLM": {
        "embed_out.weight": "lm_head.weight",
        "gpt_neox.embed_out.weight": "gpt_neox.embed_out.weight",
    },
}


def test_every_class_whose_names_differ_is_tried_below():
    assert NAMES.keys() == TABLE.keys()


@pytest.mark.every_case
@pytest.mark.parametrize("kind", NAMES)
def test_names_of_4_become_those_of_5(kind):
    assert {name: renamed(name, "", TABLE[kind]) for name in NAMES[kind]} == NAMES[kind]
    inner = {f"model.tower.{name}": f"model.tower.{newer}" for name, newer in NAMES[kind].items()}
    assert {name: renamed(name, "model.tower", TABLE[kind]) for name in inner} == inner
    for path in ("model.towers", "model.tow"):
        assert all(renamed(name, path, TABLE[kind]) == name for name in inner)


def leaf(name):
    """A module with one parameter of a dotted name."""
    module = nn.Module()
    first, _, rest = name.partition(".")
    if rest:
        module.add_module(first, leaf(rest))
    else:
        module.register_parameter(first, nn.Parameter(torch.zeros(1)))
    return module


class SiglipVisionModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision_model = leaf("norm.weight")


class Vlm(nn.Module):
    """As a VLM on 4.57, whose checkpoints have names of earlier releases."""

    base_model_prefix = "model"
    _checkpoint_conversion_mapping = {"^language_model.model": "model.language_model", "^model.language_model": "lost"}

    def __init__(self):
        super().__init__()
        self.model = nn.Module()
        self.model.vision_tower = SiglipVisionModel()
        self.model.language_model = leaf("norm.weight")
        self.lm_head = nn.Linear(1, 1, bias=False)


TOWER, LANGUAGE = "model.vision_tower.vision_model.norm.weight", "model.language_model.norm.weight"


def test_a_model_of_4_has_a_name_for_each_of_5_that_differs():
    assert newer_names(Vlm()) == {"model.vision_tower.norm.weight": TOWER}


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("key", "name"),
    [
        (LANGUAGE, LANGUAGE),
        (LANGUAGE.removeprefix("model."), LANGUAGE),
        ("model.lm_head.weight", "lm_head.weight"),
        ("language_model.model.norm.weight", LANGUAGE),
        (TOWER, TOWER),
        ("model.vision_tower.norm.weight", TOWER),
        ("vision_tower.norm.weight", TOWER),
        ("other.weight", "other.weight"),
    ],
)
def test_a_model_of_4_knows_names_of_any_release(key, name):
    assert Transformers4Names(Vlm()).of(key) == Translated(name, True)
