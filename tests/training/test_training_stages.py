"""Stages A, B and all: what trains, what is reached by the loss, and what stays as it was."""

import pytest
import torch
import transformers
from peft import get_peft_model
from tiny_text_models import tiny_text_config
from torch import nn
from transformers import AutoConfig

from vlahub import (
    MultimodalVLAConfig,
    MultimodalVLAForActionPrediction,
    freeze_unreached,
    lora_config,
    trainable_parameter_groups,
)
from vlahub.errors import ConfigError, InputError
from vlahub.training.unreached import chooses_experts, unreached_by_actions

# Of each: name of the family, arguments of `tiny`, and what of the language model an action loss does not reach.
HEAD = {"lm_head.weight"}
LAST = {"q_proj.weight", "o_proj.weight", "gate_proj.weight", "up_proj.weight", "down_proj.weight", "norm.weight"}
LAST |= {"post_attention_layernorm.weight"}
TWO_BLOCKS = {"dit_config": {"num_hidden_layers": 2}}  # of which the second one looks at the head's own tokens
TIED = {"tie_word_embeddings": True}
CASES = {
    "cogvla l1": ("cogvla", {"action_head": "l1"}, HEAD),
    "cogvla discrete": ("cogvla", {"action_head": "discrete", "lfp_enable_film": False}, set()),
    "cogvla diffusion": ("cogvla", {"action_head": "diffusion", "lfp_enable_film": False}, HEAD),
    "cogvla tied": ("cogvla", {"action_head": "l1", "text_config": TIED}, set()),
    "deep_fusion": ("mapanything_llava3d", {"action_expert_type": "deep_fusion"}, HEAD | LAST),
    "deep_fusion tied mistral": (
        "mapanything_llava3d",
        {"action_expert_type": "deep_fusion", "text_config": {"model_type": "mistral", **TIED}},
        LAST,
    ),
    "deep_fusion labels": ("mapanything_llava3d", {"action_expert_type": "deep_fusion", "labels": True}, None),
    "dit mistral": (
        "mapanything_llava3d",
        {"action_expert_type": "dit", "text_config": {"model_type": "mistral"}},
        HEAD,
    ),
    "deep_fusion+dit": ("mapanything_llava3d", {"action_expert_type": "deep_fusion+dit"}, HEAD),
    "dit with an even number of blocks": (
        "mapanything_llava3d",
        {"action_expert_type": "dit", **TWO_BLOCKS},
        HEAD | LAST | {"input_layernorm.weight", "k_proj.weight", "v_proj.weight"},
    ),
    "deep_fusion+dit with an even number of blocks": (
        "mapanything_llava3d",
        {"action_expert_type": "deep_fusion+dit", **TWO_BLOCKS},
        HEAD | LAST,
    ),
    "no expert, labels": (
        "mapanything_llava3d",
        {"action_expert_type": None, "labels": True, "text_config": TIED},
        None,
    ),
    "paligemma": ("multimodal_vla", {"vlm": "paligemma", "action_head": "mlp"}, set()),
    "llava": ("multimodal_vla", {"vlm": "llava", "action_head": "discrete"}, set()),
    "qwen2.5-vl": ("multimodal_vla", {"vlm": "qwen2_5_vl", "action_head": "discrete"}, set()),
    "qwen3-vl": ("multimodal_vla", {"vlm": "qwen3_vl", "action_head": "mlp", "fusion": "late"}, HEAD),
    "alpamayo": ("alpamayo_r1", {}, HEAD | LAST | {"q_norm.weight"}),
    "alpamayo labels": ("alpamayo_r1", {"labels": True}, None),
}
# Every fusion with every head; towers and language models, tied and not, in turn.
TOWERS, TEXTS = ("siglip", "two towers", "clip", "dinov2", "vit"), ("gemma", "llama", "qwen2", "tied llama")
for number, (fusion, head) in enumerate(
    (fusion, head) for fusion in ("early", "cross_attention", "late", "film") for head in ("mlp", "flow", "discrete")
):
    tower, text = TOWERS[number % 5], TEXTS[number % 4]
    is_untied = text in ("llama", "qwen2") and head != "discrete"
    fields = {"fusion": fusion, "action_head": head, "tower": tower, "text": text}
    CASES[" ".join(fields.values())] = ("multimodal_vla", fields, HEAD if is_untied else set())
FLOW = next(name for name in CASES if name.startswith("cross_attention flow"))
every_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture
def made(tiny, name):
    """The case's model in training mode, with its batches."""
    family, fields, _ = CASES[name]
    return tiny(family, **fields)


def of_actions(name):
    """Whether the case's loss is one of actions alone."""
    return CASES[name][2] is not None


def named(model, wanted):
    """Names of the parameters for which `wanted(parameter)` holds."""
    return {name for name, parameter in model.named_parameters() if wanted(parameter)}


def in_vision(parameter):
    """Whether a parameter is one of the vision towers, which are not run whole everywhere."""
    return "vision_tower." in parameter or ".visual." in parameter


def without_gradient(model, batch):
    """Names of the trainable parameters that a backward pass leaves without gradient."""
    model.zero_grad(set_to_none=True)
    model(**batch).loss.backward()
    return named(model, lambda p: p.requires_grad and p.grad is None)


# ---- what a loss reaches


@every_case
def test_what_is_frozen_is_what_a_backward_pass_leaves_without_gradient(made, name):
    model = made.model.requires_grad_(True)
    wanted, everything = without_gradient(model, made.batch), named(model, lambda p: True)
    kept = {min(everything - wanted), min(everything)}  # frozen before, one that would be reached among them
    for frozen in kept:
        model.get_parameter(frozen).requires_grad_(False)
    before = torch.get_rng_state()
    found = freeze_unreached(model, made.drawing())
    assert torch.equal(torch.get_rng_state(), before)
    assert len(found) == len(set(found)) and set(found) == wanted - kept
    assert named(model, lambda p: p.requires_grad) == everything - wanted - kept
    assert freeze_unreached(model, made.drawing()) == []


@every_case
def test_what_actions_do_not_reach_of_the_language_model_is_known_beforehand(made, name):
    model, wanted = made.model.requires_grad_(True), CASES[name][2]
    if wanted is None:
        pytest.skip("the loss is not one of actions alone")
    inside = {id(p) for part in (model.language_part, model.get_output_embeddings()) for p in part.parameters()}
    found = unreached_by_actions(model)
    assert found == without_gradient(model, made.batch) & named(model, lambda p: id(p) in inside)
    assert {".".join(parameter.split(".")[-2:]) for parameter in found} == wanted and len(found) == len(wanted)


@every_case
def test_all_that_a_stage_trains_gets_a_gradient(made, name):
    model, of_actions, trained = made.model, CASES[name][2] is not None, {}
    for stage, layers in (("A", 0), ("B", 2), ("full", 0)):
        alone = of_actions or (stage == "A" and not model.config.text_reads_new_parts)
        groups = trainable_parameter_groups(model, stage, layers, action_loss_only=alone)
        chosen = {id(p) for group in groups for p in group["params"]}
        assert chosen == {id(p) for p in model.parameters() if p.requires_grad}
        assert len(chosen) == sum(len(group["params"]) for group in groups)
        frozen = freeze_unreached(model, made.drawing())
        assert not frozen or (stage == "full" and all(in_vision(n) for n in frozen))
        assert not without_gradient(model, made.batch)
        trained[stage] = named(model, lambda p: p.requires_grad)
    assert trained["A"] <= trained["B"] < trained["full"] and len(trained["full"]) > 30


@every_case
def test_all_that_trains_beside_a_lora_gets_a_gradient(made, name):
    config = lora_config(made.model, r=2, action_loss_only=CASES[name][2] is not None)
    adapted = get_peft_model(made.model, config)
    frozen = freeze_unreached(adapted, made.drawing())
    assert all(".lora_" in n and in_vision(n) for n in frozen)
    assert not without_gradient(adapted, made.batch)


@pytest.mark.parametrize("name", ["cogvla l1", "deep_fusion", "dit mistral", "alpamayo labels", "llava", FLOW])
def test_gradient_checkpointing_does_not_change_what_is_reached(made, name):
    model = made.model.requires_grad_(True)
    wanted = without_gradient(model, made.batch)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert model.is_gradient_checkpointing and set(freeze_unreached(model, made.drawing())) == wanted


def test_checkpointing_that_hides_what_is_reached_is_refused(tiny):
    made = tiny("cogvla", action_head="l1")
    made.model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(InputError, match="use_reentrant"):
        freeze_unreached(made.model, made.batch)
    assert all(p.requires_grad for p in made.model.parameters())


@pytest.mark.parametrize("family", ["alpamayo_r1", "mapanything_llava3d"])
def test_a_loss_that_stops_at_the_vlm_trains_the_experts_alone(tiny, family):
    made = tiny(family, stop_grad_from_vlm=True)
    trainable_parameter_groups(made.model, "A", action_loss_only=True)
    trained = named(made.model, lambda p: p.requires_grad)
    old = ("vlm.", "language_model.", "vision", "geometric", "fusion_projector.")
    assert trained and not any(name.startswith(old) for name in trained)
    assert not without_gradient(made.model, made.batch)
    assert made.model.config.stop_grad_from_vlm
    for stage, layers in (("B", 1), ("full", 0)):  # these train the VLM, and so the gradient has to get there
        made.model.config.stop_grad_from_vlm = True
        trainable_parameter_groups(made.model, stage, layers, action_loss_only=True)
        assert not made.model.config.stop_grad_from_vlm
        assert any(name.startswith(old) for name in named(made.model, lambda p: p.requires_grad))


def test_a_batch_without_a_loss_is_refused(tiny):
    made = tiny("multimodal_vla", action_head="mlp")
    with pytest.raises(InputError, match=r"input_ids.*has no loss"):
        freeze_unreached(made.model, made.prompt)


def test_weights_that_are_shared_or_used_twice_are_reached():
    """A loss of a hundred ways through two weights, and a third weight beside them."""

    class Ladder(nn.Module):
        def __init__(self):
            super().__init__()
            self.rungs = nn.ParameterList(torch.ones(2) for _ in range(3))

        def forward(self, x):
            for i in range(100):
                x = x * self.rungs[i % 2] + x
            return type("Output", (), {"loss": x.sum() + self.rungs[2].detach().sum()})

    model = Ladder()
    assert freeze_unreached(model, {"x": torch.ones(2)}) == ["rungs.2"]
    assert [p.requires_grad for p in model.parameters()] == [True, True, False]


class Mixture(nn.Module):
    """Three experts, of which two numbers choose; a mixture that is not run; and a list of layers that is none."""

    def __init__(self, key="{}"):
        super().__init__()
        self.experts, idle = (nn.ModuleDict({key.format(i): self.expert() for i in range(3)}) for _ in range(2))
        self.idle = nn.ModuleDict({"experts": idle})
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))

    def expert(self):
        return nn.ParameterDict({"w": torch.ones(2)})

    def forward(self, x):
        experts = list(self.experts.values())
        loss = sum((experts[int(i)]["w"] * x).sum() for i in x)
        return type("Output", (), {"loss": loss + self.layers[0](x).sum()})


@pytest.mark.parametrize("key", ["{}", "expert_{}"])
def test_experts_that_a_batch_does_not_choose_train_with_those_that_it_does(key):
    model = nn.ModuleDict({"inside": Mixture(key)})
    model.forward = model["inside"].forward
    frozen = freeze_unreached(model, {"x": torch.tensor([0.0, 2.0])})
    idle = {f"inside.idle.experts.{key.format(i)}.w" for i in range(3)}
    assert set(frozen) == idle | {"inside.layers.1.weight", "inside.layers.1.bias"}
    assert chooses_experts(model)
    assert not chooses_experts(model["inside"].layers) and not chooses_experts(model.requires_grad_(False))


MIXTURES = ("qwen3_moe", "mixtral", "qwen2_moe", "phimoe", "glm4_moe", "ernie4_5_moe")
ROUTED = {"num_experts": 16, "num_local_experts": 16, "n_routed_experts": 16, "moe_num_experts": 16}
ROUTED |= {"moe_layer_start_index": 0, "moe_layer_interval": 1, "first_k_dense_replace": 0, "moe_k": 2}


@pytest.mark.parametrize(
    ("kind", "adapted"), [*((kind, False) for kind in MIXTURES), ("qwen3_moe", True), ("mixtral", True)]
)
def test_what_another_batch_reaches_of_a_mixture_is_not_frozen(tiny, kind, adapted):
    base = AutoConfig.for_model(kind)
    text = tiny_text_config(kind).to_dict() | {name: count for name, count in ROUTED.items() if hasattr(base, name)}
    made = tiny("multimodal_vla", action_head="mlp", text_config=text)
    model = made.model.requires_grad_(True)
    if adapted:
        model = get_peft_model(model, lora_config(model, r=2))
        model.requires_grad_(True)
    other = made.batch | {"input_ids": 3 + (made.batch["input_ids"] * 7) % 290}
    frozen = freeze_unreached(model, {name: value[:1] for name, value in made.batch.items()})
    assert not any(".experts." in name for name in frozen)
    model.requires_grad_(True)
    loose = without_gradient(model, other)
    assert not {name for name in frozen if name not in loose}
    stacked = transformers.__version__.startswith("5.")
    assert chooses_experts(model) is not stacked
    assert stacked or any(".experts." in name for name in loose)  # a batch does not reach all


# ---- stages


FAMILIES = {
    "cogvla": {"action_head": "diffusion"},
    "mapanything_llava3d": {"action_expert_type": "deep_fusion+dit"},
    "multimodal_vla": {"action_head": "flow", "fusion": "film"},
    "alpamayo_r1": {},
}
# Where the layers of each one's language model are, and what of it is new though it lies in an old part.
LAYERS = {
    "cogvla": "language_model.model.layers.",
    "mapanything_llava3d": "language_model.model.model.layers.",
    "multimodal_vla": "backbone.language_model.model.layers.",
    "alpamayo_r1": "vlm.model.language_model.layers.",
}
OLD = {
    "cogvla": ("language_model.", "vision_backbone."),
    "mapanything_llava3d": ("language_model.", "vision_tower.", "geometric_model."),
    "multimodal_vla": ("backbone.",),
    "alpamayo_r1": ("vlm.",),
}
NEW_INSIDE = (".film.", ".aggregation", ".router.")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("stage", "layers"), [("A", 0), ("B", 1), ("B", 2), ("full", 0)])
def test_a_step_moves_what_the_stage_trains_and_nothing_else(tiny, family, stage, layers):
    made = tiny(family, **FAMILIES[family])
    names = named(made.model, lambda p: True)
    numbers = {int(n.removeprefix(LAYERS[family]).split(".")[0]) for n in names if n.startswith(LAYERS[family])}
    top = tuple(f"{LAYERS[family]}{number}." for number in sorted(numbers)[-layers or len(numbers) :])
    unreached = unreached_by_actions(made.model)
    new = {n for n in names if not n.startswith(OLD[family]) or any(part in n for part in NEW_INSIDE)}
    old = {n for n in names - new if stage == "full" or (stage == "B" and n.startswith(top))} - unreached
    assert new and (stage == "A" or len(old) > 3)

    before = {name: parameter.detach().clone() for name, parameter in made.model.named_parameters()}
    groups = trainable_parameter_groups(made.model, stage, backbone_unfreeze_layers=layers, lr=0.1)
    assert [len(group["params"]) for group in groups] == [len(new), len(old)][: len(groups)]
    made.model(**made.batch).loss.backward()
    torch.optim.SGD(groups, lr=0.1).step()
    moved = {name for name, p in made.model.named_parameters() if not torch.equal(p, before[name])}
    assert named(made.model, lambda p: p.requires_grad) == new | old
    assert moved <= new | old and {n.split(".")[0] for n in new} <= {n.split(".")[0] for n in moved}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stage_of_text_trains_what_was_there_before_and_towers_more_slowly(tiny, family):
    model = tiny(family, **FAMILIES[family]).model
    groups = {group["name"]: group for group in trainable_parameter_groups(model, "vlm", lr=1.0, vision_lr_scale=0.5)}
    names = {id(p): n for n, p in model.named_parameters()}
    found = {part: {names[id(p)] for p in group["params"]} for part, group in groups.items()}
    old = {n for n in names.values() if n.startswith(OLD[family]) and not any(part in n for part in NEW_INSIDE)}
    towers = {n for n in old if n.startswith(("vision", "backbone.vision", "vlm.model.visual."))}
    assert found == {"backbone": old - towers, "vision": towers}
    assert named(model, lambda p: p.requires_grad) == old
    assert {part: group["lr"] for part, group in groups.items()} == {"backbone": 1.0, "vision": 0.5}


def test_groups_carry_their_learning_rates(tiny):
    model = tiny("mapanything_llava3d").model
    expert, backbone = trainable_parameter_groups(model, "B", 1, backbone_lr_scale=0.05, expert_lr_scale=2.0, lr=1e-3)
    assert (expert["name"], backbone["name"]) == ("expert", "backbone")
    assert expert["lr"] == pytest.approx(2e-3)
    assert backbone["lr"] == pytest.approx(5e-5)
    assert "lr" not in trainable_parameter_groups(model, "A")[0]


def test_text_training_also_reaches_the_last_layer_whole(tiny):
    model = tiny("mapanything_llava3d").model
    trainable_parameter_groups(model, "B", 1, action_loss_only=False)
    assert all(parameter.requires_grad for parameter in model.language_model.decoder.layers[-1].parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stage": "C"}, "stage='C'"),
        ({"stage": "A", "backbone_unfreeze_layers": 2}, "=2: stage A leaves"),
        ({"stage": "full", "backbone_unfreeze_layers": 1}, "=1: stage full trains"),
        ({"stage": "B"}, "=0 must be between 1 and 3"),
        ({"stage": "B", "backbone_unfreeze_layers": 4}, "=4 must be between 1 and 3"),
        ({"backbone_lr_scale": 0.0}, "positive number, not 0.0"),
        ({"expert_lr_scale": float("nan")}, "positive number, not nan"),
    ],
)
def test_stages_and_rates_that_do_not_exist_are_refused_before_anything_changes(tiny, arguments, message):
    model = tiny("mapanything_llava3d").model
    with pytest.raises((InputError, ConfigError), match=message):
        trainable_parameter_groups(model, **arguments)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_layers_that_the_actions_do_not_depend_on_are_refused(tiny):
    model = tiny("mapanything_llava3d", action_expert_type="dit", **TWO_BLOCKS).model
    with pytest.raises(InputError, match="=1: this model's actions depend on nothing"):
        trainable_parameter_groups(model, "B", 1)
    assert trainable_parameter_groups(model, "B", 1, action_loss_only=False)[1]["params"]


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
