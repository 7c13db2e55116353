"""Stages A and B: what trains, what is reached by the loss, and what stays as it was."""

import pytest
import torch

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction
from vlahub.errors import InputError
from vlahub.training.training_stages import trainable_parameter_groups


def step(model, groups, **inputs):
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(groups, lr=0.1)
    model(**inputs).loss.backward()
    optimizer.step()
    return {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}


@pytest.mark.parametrize("kind", ["deep_fusion", "dit", "deep_fusion+dit"])
@pytest.mark.parametrize(("stage", "layers"), [("A", 0), ("B", 1), ("B", 2)])
def test_every_trainable_parameter_is_reached_and_nothing_else_moves(llava3d, kind, stage, layers):
    model, inputs = llava3d(action_expert_type=kind)
    groups = trainable_parameter_groups(model.train(), stage, backbone_unfreeze_layers=layers, lr=0.1)
    moved = step(model, groups, **inputs)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    assert moved <= trainable
    assert not any(name.startswith(("vision_tower.", "geometric_model.")) for name in trainable)
    last = len(model.language_model.decoder.layers)
    unfrozen = {int(name.split(".")[4]) for name in trainable if name.startswith("language_model.model.model.layers.")}
    assert unfrozen == set(range(last - layers, last))
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for p in model.parameters() if p.requires_grad
    }


def test_groups_carry_their_learning_rates(llava3d):
    model, _ = llava3d()
    expert, backbone = trainable_parameter_groups(model, "B", 1, backbone_lr_scale=0.05, expert_lr_scale=2.0, lr=1e-3)
    assert (expert["name"], backbone["name"]) == ("expert", "backbone")
    assert expert["lr"] == pytest.approx(2e-3)
    assert backbone["lr"] == pytest.approx(5e-5)
    assert "lr" not in trainable_parameter_groups(model, "A")[0]


def test_text_training_also_reaches_the_last_layer_whole(llava3d):
    model, _ = llava3d()
    trainable_parameter_groups(model, "B", 1, action_loss_only=False)
    assert all(parameter.requires_grad for parameter in model.language_model.decoder.layers[-1].parameters())


@pytest.mark.parametrize(
    ("stage", "layers", "message"),
    [("C", 0, "stage='C'"), ("A", 2, "stage A leaves"), ("B", 0, "between 1 and 3"), ("B", 4, "between 1 and 3")],
)
def test_stages_that_do_not_exist_are_refused(llava3d, stage, layers, message):
    with pytest.raises(InputError, match=message):
        trainable_parameter_groups(llava3d()[0], stage, layers)


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
GEMMA = {"model_type": "gemma", **SIZES, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300}
SIGLIP = {"model_type": "siglip_vision_model", **SIZES, "image_size": 28, "patch_size": 14}
PALIGEMMA = {"model_type": "paligemma", "text_config": GEMMA, "vision_config": SIGLIP, "image_token_index": 290}


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ({"vision_config": SIGLIP, "text_config": GEMMA}, "backbone.language_model.model.layers."),
        ({"vlm_config": {**PALIGEMMA, "projection_dim": 32}}, "backbone.vlm.model.language_model.layers."),
    ],
)
def test_of_a_composed_model_new_parts_train_first_and_then_the_top_of_the_language_model(backbone, layers):
    model = MultimodalVLAForActionPrediction(MultimodalVLAConfig(**backbone, fusion="film", projector_type="mlp"))
    new = {name for name, _ in model.named_parameters() if not name.startswith("backbone.")}
    top = {name for name, _ in model.named_parameters() if name.startswith((f"{layers}1.", f"{layers}2."))}

    def trained(**options):
        groups = trainable_parameter_groups(model, **options)
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert len(names) == sum(len(group["params"]) for group in groups)
        return names

    assert new and len(top) > 10
    assert trained(stage="A") == new
    assert trained(stage="B", backbone_unfreeze_layers=2) == new | top
