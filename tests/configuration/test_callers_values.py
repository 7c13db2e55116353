"""What a config or processor is given stays the caller's: nothing is kept by reference, and nothing is written to."""

import copy

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, MistralConfig, PreTrainedTokenizerFast, Qwen3VLConfig, SiglipVisionConfig

import vlahub
from vlahub.configuration.alpamayo_r1 import configuration_alpamayo_r1

BOUNDS = {"a": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7, "mask": [True] * 7}}}
TEXT = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 300}
ROPE = {"rope_type": "linear", "factor": 2.0}
TOWER = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIGLIP = {"model_type": "siglip_vision_model", **TOWER}
GIVEN = {
    "cogvla": (
        vlahub.CogVLAConfig,
        {
            "norm_stats": BOUNDS,
            "text_config": {**TEXT, "rope_scaling": ROPE},
            "featurizer_config": {**TOWER, "image_size": 28},
            "fused_featurizer_config": vlahub.CogVLAVisionConfig(**TOWER, image_size=28),
            "eos_token_id": [2, 3],
        },
    ),
    "mapanything_llava3d": (
        vlahub.MapAnythingLlava3DConfig,
        {
            "norm_stats": BOUNDS,
            "text_config": MistralConfig(**TEXT, num_key_value_heads=1, head_dim=None),
            "vision_config": SiglipVisionConfig(**TOWER),
            "expert_config": {"hidden_size": 32},
            "dit_config": {"hidden_size": 64},
        },
    ),
    "multimodal_vla": (
        vlahub.MultimodalVLAConfig,
        {
            "norm_stats": BOUNDS,
            "vision_config": {**SIGLIP, "id2label": {0: "a", 1: "b"}},
            "text_config": LlamaConfig(**TEXT),
            "expert_config": {"num_hidden_layers": 1},
        },
    ),
    "alpamayo_r1": (
        vlahub.AlpamayoR1Config,
        {
            "vlm_config": Qwen3VLConfig(),
            "expert_cfg": {"hidden_size": 64, "num_attention_heads": 32},
            "action_space_cfg": {"accel_bounds": [-1.0, 1.0]},
            "traj_tokenizer_cfg": {"dims_min": [-1, -1], "action_space_cfg": {"accel_bounds": [-2.0, 2.0]}},
            "hist_traj_tokenizer_cfg": {"num_bins": 1000},
            "traj_token_ids": dict(configuration_alpamayo_r1.TRAJ_TOKEN_IDS),
        },
    ),
}


def plain(value):
    """Values in a form that can be compared."""
    return {n: v.to_dict() if hasattr(v, "to_dict") else v for n, v in value.items()}


def mutable(value):
    """Every dict, list and config inside, at any depth."""
    inside = vars(value) if hasattr(value, "to_dict") else value
    if isinstance(inside, dict):
        return [value, *(deeper for one in inside.values() for deeper in mutable(one))]
    return [value, *(deeper for one in inside for deeper in mutable(one))] if isinstance(inside, list) else []


@pytest.mark.parametrize("family", GIVEN)
def test_a_config_shares_nothing_with_what_it_was_given(family):
    config_class, given = GIVEN[family]
    before = copy.deepcopy(plain(given))
    config = config_class(**given)
    owned = {id(value) for value in mutable(config)}
    assert [name for name, value in given.items() if owned.intersection(map(id, mutable(value)))] == []
    config.to_dict()
    assert plain(given) == before


def test_defaults_are_not_shared_between_configs():
    first, second = vlahub.AlpamayoR1Config(), vlahub.AlpamayoR1Config()
    first.action_space_cfg["accel_bounds"][0] = first.traj_tokenizer_cfg["dims_min"][0] = 0.5
    assert second.action_space_cfg["accel_bounds"][0] == -9.8 and second.traj_tokenizer_cfg["dims_min"][0] == -10
    assert configuration_alpamayo_r1.ACTION_SPACE["accel_bounds"][0] == -9.8


def test_a_published_config_is_left_as_it_is():
    published = {
        "model_type": "openvla",
        "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
        "text_config": {**TEXT, "model_type": "llama", "use_lfp": False, "rope_scaling": ROPE},
        "norm_stats": BOUNDS,
    }
    before = copy.deepcopy(published)
    config = vlahub.CogVLAConfig.from_openvla(published, normalization_type="bounds_q99")
    config.norm_stats["a"]["action"]["q01"][0] = 9.0
    assert published == before


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_processor_leaves_the_tokenizers_padding_side_and_pads_on_its_own(side):
    words = ["<pad>", "In:", "What", "action", "should", "the", "robot", "take", "to", "a", "b", "?", "Out:"]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", padding_side=side)
    statistics = copy.deepcopy(BOUNDS)
    image_processor = vlahub.CogVLAImageProcessor(image_sizes=(28, 28), evaluation_size=28)
    processor = vlahub.CogVLAProcessor(image_processor, tokenizer, norm_stats=statistics)
    statistics["a"]["action"]["q01"][0] = 5.0
    image = np.zeros((28, 28, 3), dtype=np.uint8)
    batch = processor([[image], [image]], ["a", "a b a b"])
    assert tokenizer.padding_side == side and processor.norm_stats == BOUNDS
    assert batch["attention_mask"].sum(dim=1).tolist() == [batch["input_ids"].shape[1] - 3, batch["input_ids"].shape[1]]
    assert batch["attention_mask"][0, -3:].tolist() == [0, 0, 0]
