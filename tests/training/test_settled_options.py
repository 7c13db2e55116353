"""What a config alone says of a fine-tune's options is what the model then does, and is said before it is loaded."""

import re
from types import SimpleNamespace

import pytest
from tiny_batches import vlms

from vlahub import trainable_parameter_groups
from vlahub.errors import VLAError
from vlahub.modeling.model_parts import layers_of
from vlahub.training.finetuning.options import FinetuneOptions
from vlahub.training.finetuning.settled_options import check_settled, check_stage

FUSIONS = ("early", "film", "cross_attention", "late", "gated_cross_attention")
OF_PARTS = {f"parts, {fusion}": ("multimodal_vla", {"fusion": fusion}) for fusion in FUSIONS}
OF_VLMS = {f"a VLM, {fusion}": ("multimodal_vla", {"vlm": "paligemma", "fusion": fusion}) for fusion in FUSIONS[:4]}
WRITING = {
    **OF_PARTS,
    **OF_VLMS,
    "a VLM, another projector": ("multimodal_vla", {"vlm": "paligemma", "projector_type": "mlp"}),
    "a VLM, a flow head": ("multimodal_vla", {"vlm": "paligemma", "action_head": "flow"}),
    "LLaVA-3D": ("mapanything_llava3d", {}),
    "Alpamayo-R1": ("alpamayo_r1", {}),
}
LEARNS_TEXT = {"learn_text": True, "trajectory_text": True}


def options_of(**given):
    return FinetuneOptions(model="base", dataset="data", **given)


@pytest.mark.parametrize("name", WRITING)
def test_text_beside_stage_a_is_refused_where_it_reaches_nothing_that_trains(tiny, name):
    family, fields = WRITING[name]
    made = tiny(family, labels=True, **fields)
    trainable_parameter_groups(made.model, "A")
    loss = made.model(**made.batch).lm_loss
    if loss.requires_grad:
        loss.backward()
    reached = any(p.grad is not None and p.grad.abs().sum() > 0 for p in made.model.parameters())
    assert reached == made.model.config.text_reads_new_parts
    for option in LEARNS_TEXT:
        asked = options_of(train="A", **{option: True})
        if reached:
            check_settled(asked, made.model.config)
        else:
            with pytest.raises(VLAError, match=f"--{option} True: --train A .*no text depends on"):
                check_settled(asked, made.model.config)
    made.model.requires_grad_(True)
    if reached:
        assert trainable_parameter_groups(made.model, "A", action_loss_only=False)
    else:
        with pytest.raises(VLAError, match=r"action_loss_only=False: stage A .*no text depends on"):
            trainable_parameter_groups(made.model, "A", action_loss_only=False)
        assert all(parameter.requires_grad for parameter in made.model.parameters())
    for train in ("lora", "B", "full"):
        check_settled(options_of(train=train, top_layers=1, **LEARNS_TEXT), made.model.config)


OF_DEPTH = {family: (family, {}) for family in ("cogvla", "mapanything_llava3d", "alpamayo_r1", "multimodal_vla")}
OF_DEPTH |= {vlm: ("multimodal_vla", {"vlm": vlm}) for vlm in vlms.VLMS}


@pytest.mark.parametrize("name", OF_DEPTH)
def test_more_top_layers_than_there_are_are_refused_by_the_config(tiny, name):
    family, fields = OF_DEPTH[name]
    model = tiny(family, **fields).model
    depth = len(layers_of(model.language_part))
    check_settled(options_of(train="B", top_layers=depth), model.config)
    with pytest.raises(VLAError, match=f"={depth + 1} must be between 1 and {depth} in stage B"):
        check_settled(options_of(train="B", top_layers=depth + 1), model.config)


REFUSED = [  # a family, what is asked, and what is said
    ("cogvla", {"stop_grad_from_vlm": True}, "a cogvla has no such setting"),
    ("multimodal_vla", {"stop_grad_from_vlm": False}, "a multimodal_vla has no such setting"),
    ("mapanything_llava3d", {"stop_grad_from_vlm": True}, "nothing that the VLM could learn from"),
    ("alpamayo_r1", {"stop_grad_from_vlm": True, "train": "full"}, "nothing that the VLM could learn from"),
    ("cogvla", {"top_layers": 0, "train": "B"}, "=0 must be between 1 and"),
    ("cogvla", {"backbone_lr_scale": 0.0, "train": "full"}, "must be a positive number, not 0.0"),
    ("alpamayo_r1", {"vision_lr_scale": float("nan"), "train": "vlm"}, "must be a positive number, not nan"),
    ("alpamayo_r1", {"text_weight": -1.0, "train": "vlm"}, "--text_weight -1.0 must be a number of 0 or more"),
    ("alpamayo_r1", {"text_weight": float("inf"), "train": "vlm"}, "--text_weight inf must be a number of 0 or more"),
]


@pytest.mark.parametrize(("family", "given", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_a_config_settles_is_refused_by_it(tiny, family, given, message):
    config = tiny(family).model.config
    with pytest.raises(VLAError, match=re.escape(message)):
        check_settled(options_of(**given), config)
    check_settled(options_of(), config)


def test_a_config_that_counts_no_layers_leaves_their_number_to_the_model():
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_layers=2))
    check_stage(options_of(train="B", top_layers=99), config)


def test_text_that_weighs_nothing_may_be_learnt(tiny):
    check_settled(options_of(train="full", learn_text=True, text_weight=0.0), tiny("alpamayo_r1").model.config)


@pytest.mark.parametrize("family", ["mapanything_llava3d", "alpamayo_r1"])
def test_a_gradient_that_stops_goes_with_text_and_with_stage_a(tiny, family):
    config = tiny(family).model.config
    check_settled(options_of(train="A", stop_grad_from_vlm=True), config)
    for text in LEARNS_TEXT:
        check_settled(options_of(train="full", stop_grad_from_vlm=True, **{text: True}), config)
    check_settled(options_of(train="full", stop_grad_from_vlm=False), config)


def test_weights_in_lower_precision_are_refused_by_the_config(tiny):
    config = tiny("cogvla").model.config
    config.weight_quantization = {"bits": 8}
    with pytest.raises(VLAError, match="weights of this cogvla are stored in lower precision"):
        check_settled(options_of(), config)
