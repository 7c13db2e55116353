"""Language models whose layers hand a state from token to token: padding between tokens does not wear it off."""

import pytest
import torch
import transformers
from tiny_configs import composed_config

from vlahub import MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.backbone_facts import CARRIES_STATE

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 300}
ATTENTION = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 48}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
KINDS = {
    "mamba": {"state_size": 8},
    "falcon_mamba": {"state_size": 8},
    "lfm2": {**ATTENTION, "layer_types": ["conv", "full_attention"]},
    "qwen3_next": {
        **(ATTENTION | LINEAR | EXPERTS),
        "shared_expert_intermediate_size": 16,
        "layer_types": ["linear_attention", "full_attention"],
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", ["early", "cross_attention"])
def test_a_prediction_does_not_depend_on_the_padding_of_its_batch(kind, fusion, randomized):
    if kind == "lfm2" and transformers.__version__.startswith("4."):
        pytest.skip("the convolutions of transformers 4.57 read padding before the tokens, too")
    text = {"model_type": kind, **SIZES, **KINDS[kind]}
    config = composed_config(text_config=text, fusion=fusion, use_state=False, state_dim=None)
    model = randomized(MultimodalVLAForActionPrediction(config)).eval()
    pixels = torch.randn(2, 1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 0, 0, 0]])
    alone = model.predict_action(rows[1:, :3], pixels[1:])
    for ids in (rows, torch.stack([rows[0], rows[1].roll(3)])):
        found = model.predict_action(ids, pixels, attention_mask=(ids > 0).long())
        torch.testing.assert_close(found[1:], alone, atol=1e-5, rtol=1e-5)


def test_the_kinds_are_those_of_the_table():
    assert set(KINDS) <= set(CARRIES_STATE)
