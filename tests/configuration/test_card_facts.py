"""The rows of a card about the parts of composed VLAs and of LLaVA-3D: each number is that of the part it stands by."""

from types import SimpleNamespace

import pytest
from tiny_configs import composed_config, llava3d_config
from tiny_vlms import tiny_vlm

from vlahub.configuration.multimodal_vla.composed_facts import size_text_of

DINOV2 = {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
DINOV2 |= {"image_size": 28, "patch_size": 14}
BERT = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 50}
RESNET = {"model_type": "resnet", "hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8}
TOWER = "`siglip_vision_model`, 2 layers of width 24"
COMPOSED = [
    (
        {},
        {
            "vision tower": TOWER,
            "language model": "`gemma`, 2 layers of width 32",
            "projector": "`mlp`",
            "fusion": "`early`",
            "action head": "`mlp`",
        },
    ),
    (
        {"second_vision_config": DINOV2},
        {"vision tower": f"{TOWER} and `dinov2`, 3 layers of width 16", "vision towers joined by": "`concat`"},
    ),
    ({"text_config": BERT}, {"text encoder": "`bert`, 4 layers of width 32"}),
    ({"vision_config": RESNET}, {"vision tower": "`resnet`"}),
    *(
        (
            {"projector_type": kind, "fusion": "late" if kind != "token_learner" else "early"},
            {"projector": f"`{kind}`, 5 tokens for all views"},
        )
        for kind in ("perceiver", "qformer", "token_learner")
    ),
    (
        {"action_head": "flow", "num_inference_steps": 7},
        {"action head": "`flow`, 7 steps of flow matching", "projector": "`mlp`"},
    ),
    ({"action_head": "discrete"}, {"action head": "`discrete`"}),
]


@pytest.mark.parametrize(("fields", "rows"), COMPOSED)
def test_parts_of_a_composed_vla(fields, rows):
    facts = composed_config(**fields).facts
    assert {name: facts[name] for name in rows} == rows
    assert ("language model" in facts) != ("text encoder" in facts)


def test_a_model_without_layers_of_one_width_has_no_size():
    assert size_text_of(SimpleNamespace(hidden_size=8)) == size_text_of(SimpleNamespace(num_hidden_layers=2)) == ""
    assert size_text_of(SimpleNamespace(hidden_size=8, num_hidden_layers=2)) == ", 2 layers of width 8"


def test_the_language_model_of_a_vlm():
    facts = composed_config(vlm_config=tiny_vlm("llava_next")[0]).facts
    assert facts["vision-language model"] == "`llava_next`; its language model has 2 layers of width 32"
    assert "vision tower" not in facts and "language model" not in facts


EXPERT, DIT = "3 layers of width 32, joined to the language model's layers", "DiT head, 3 blocks, context `interleave`"
LLAVA3D = [
    (
        {"num_inference_steps": 7},
        {
            "vision tower": "SigLIP, 2 layers of width 32, 28 pixels",
            "geometry": "MapAnything, 2 layers of width 24, 2 of width 20 over all views, pixels `imagenet`",
            "language model": "llama, 3 layers of width 64",
            "attention among images and text": "`bidirectional`",
            "action expert": f"{EXPERT}; flow matching in 7 steps",
        },
    ),
    ({"action_expert_type": None}, {"action expert": "none: this model writes text"}),
    ({"use_geometric_branch": False, "prefix_attention": "causal"}, {"geometry": "none"}),
    ({"prefix_attention": "causal"}, {"attention among images and text": "`causal`"}),
    (
        {"action_expert_type": "dit", "num_embodiments": 2},
        {
            "action expert": f"{DIT}; flow matching in 4 steps; 2 embodiments, `embodiment_id` says which",
        },
    ),
    ({"action_expert_type": "deep_fusion+dit"}, {"action expert": f"{EXPERT}; {DIT}; flow matching in 10 steps"}),
]


@pytest.mark.parametrize(("fields", "rows"), LLAVA3D)
def test_parts_of_a_llava3d(fields, rows):
    facts = llava3d_config(**fields).facts
    assert {name: facts[name] for name in rows} == rows and len(facts) == 5
