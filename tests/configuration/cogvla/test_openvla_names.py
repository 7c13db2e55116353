"""Names of OpenVLA's, OpenVLA-OFT's and CogVLA's tensors, and which parts a file of them has."""

from types import SimpleNamespace

import pytest

from vlahub.configuration.cogvla.openvla_names import (
    AGGREGATION,
    cogvla_parts,
    has_cogvla_fields,
    is_wrapped_by_film,
    name_in_model,
    parts_found,
    unused_reason,
)
from vlahub.errors import ConfigError

TOWERS = "vision_backbone.featurizer", "vision_backbone.fused_featurizer"
NAMES = {
    "vision_backbone.featurizer.blocks.3.attn.qkv.weight": f"{TOWERS[0]}.blocks.3.attn.qkv.weight",
    "vision_backbone.vision_backbone.fused_featurizer.blocks.3.block.ls2.scale_factor": (
        f"{TOWERS[1]}.blocks.3.ls2.scale_factor"
    ),
    "vision_backbone.vision_backbone.featurizer.blocks.12.scale.weight": f"{TOWERS[0]}.blocks.12.film.scale.weight",
    "vision_backbone.featurizer.blocks.12.shift.bias": f"{TOWERS[0]}.blocks.12.film.shift.bias",
    "vision_backbone.featurizer.reg_token": f"{TOWERS[0]}.reg_token",
    "vision_backbone.fused_featurizer.patch_embed.proj.bias": f"{TOWERS[1]}.patch_embed.proj.bias",
    "vision_backbone.featurizer.norm.weight": None,
    "vision_backbone.fused_featurizer.attn_pool.q.weight": None,
    "vision_backbone.fused_featurizer.attn_pool.latent": None,
    "vision_backbone.vision_aggr_featurizer": AGGREGATION,
    "vision_backbone.vision_aggr_fused_featurizer": f"{TOWERS[1]}.aggregation.tokens",
    "aggregation_router.0.weight": "moe_aggregator.0.weight",
    "fused_featurizer_proj.weight": "moe_aggregator.fused_featurizer_proj.weight",
    "featurizer_proj.weight": "moe_aggregator.featurizer_proj.weight",
    "projector.fc1.weight": "projector.fc1.weight",
    "language_model.model.layers.0.self_attn.rotary_emb.inv_freq": None,
    "language_model.model.layers.0.router.router.weight": "language_model.model.layers.0.router.router.weight",
    "action_head.noise_predictor.mlp_resnet.fc1.weight": "action_head.model.fc1.weight",
    "action_head.model.fc1.weight": "action_head.model.fc1.weight",
    "proprio_projector.fc1.weight": "proprio_projector.fc1.weight",
    "noisy_action_projector.fc1.weight": "noisy_action_projector.fc1.weight",
}


@pytest.mark.parametrize("key", NAMES)
def test_a_published_name_has_one_in_the_model_or_no_use(key):
    assert name_in_model(key) == NAMES[key]


@pytest.mark.parametrize("key", ["projector", "head.weight", "vision_backbone.featurizer.blocks.3.other.weight"])
def test_a_name_of_no_layout_is_refused(key):
    with pytest.raises(ConfigError, match=f"hold the tensor {key}, which no known layout has"):
        name_in_model(key)


def test_blocks_behind_the_last_that_is_run_and_a_replaced_projector_are_not_used():
    def config(kind):
        layers = SimpleNamespace(num_hidden_layers=3), SimpleNamespace(num_hidden_layers=5)
        return SimpleNamespace(
            featurizer_config=layers[0], fused_featurizer_config=layers[1], vision_aggregate_type=kind
        )

    assert unused_reason(f"{TOWERS[0]}.blocks.2.mlp", config("moe")) is None
    assert "last block" in unused_reason(f"{TOWERS[0]}.blocks.3.mlp", config("moe"))
    assert unused_reason(f"{TOWERS[1]}.blocks.3.mlp", config("moe")) is None
    assert "last block" in unused_reason(f"{TOWERS[1]}.blocks.5.mlp", config("moe"))
    assert "replaces" in unused_reason("projector.fc1.weight", config("moe"))
    assert unused_reason("projector.fc1.weight", config("concat")) is None
    assert unused_reason(f"{TOWERS[0]}.cls_token", config("moe")) is None


PLAIN = {
    "use_film": False,
    "use_aggr": False,
    "vision_aggregate_type": "concat",
    "use_lfp": False,
    "action_head": "discrete",
    "state_dim": None,
}
L1 = {"action_head.model.fc2.weight": (7, 64)}
PARTS = [
    ({}, {}),
    ({f"{TOWERS[0]}.blocks.0.film.scale.weight": (2, 2)}, {"use_film": True}),
    ({AGGREGATION: (1, 64, 8)}, {"use_aggr": True, "num_vision_aggr": 64}),
    ({"moe_aggregator.router.0.weight": (2, 2)}, {"vision_aggregate_type": "moe"}),
    ({"language_model.a.router.router.weight": (1, 2)}, {"use_lfp": True, "lfp_enable_film": False}),
    (
        {"language_model.a.router.router.weight": (1, 2), "language_model.a.router.scale.weight": (1, 2)},
        {"use_lfp": True, "lfp_enable_film": True},
    ),
    (L1, {"action_head": "l1", "action_dim": 7}),
    ({**L1, "noisy_action_projector.fc1.weight": (2, 2)}, {"action_head": "diffusion", "action_dim": 7}),
    ({"proprio_projector.fc1.weight": (64, 8)}, {"state_dim": 8}),
]


@pytest.mark.parametrize(("shapes", "found"), PARTS)
def test_the_parts_of_a_model_are_those_that_its_tensors_say(shapes, found):
    assert parts_found(shapes) == PLAIN | found


def test_parts_of_cogvla_are_told_from_those_of_its_base():
    assert cogvla_parts(PLAIN) == []
    assert cogvla_parts(PLAIN | {"use_aggr": True, "use_film": True}) == ["aggregation tokens"]
    assert cogvla_parts(PLAIN | {"vision_aggregate_type": "moe", "use_lfp": True}) == [
        *("an MoE aggregator", "routers of pruning layers"),
    ]
    assert is_wrapped_by_film("base_model.model.vision_backbone.featurizer.blocks.3.block.attn.qkv.lora_A.weight")
    assert not is_wrapped_by_film("vision_backbone.featurizer.blocks.3.attn.qkv.weight")


@pytest.mark.parametrize(
    ("published", "is_one"),
    [
        ({}, False),
        ({"use_film": False}, True),
        ({"text_config": {"use_lfp": False}}, True),
        ({"text_config": None}, False),
    ],
)
def test_a_config_is_cogvlas_where_it_has_a_field_of_its_own(published, is_one):
    assert has_cogvla_fields(published) == is_one
