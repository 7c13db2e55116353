"""The tables of what backbones do otherwise, read the other way round: by fact what is by model type, and back.

What follows is shown by running the models, of which a quick run has a few; here is what is written of all of them.
"""

from types import SimpleNamespace

import pytest

from vlahub.configuration.multimodal_vla import backbone_facts
from vlahub.configuration.multimodal_vla.proven_backbones import (
    is_headless,
    is_text_encoder,
    width_of_features,
    width_of_tokens,
)
from vlahub.configuration.multimodal_vla.tower_facts import BLOCK_NAMES, PATCHES_LAST
from vlahub.configuration.multimodal_vla.vlm_facts import OLDER_NAMES, UNFIT_VLMS, VLMS, VLMFacts

OF_VLMS = {
    "first_position": "paligemma",
    "full_prefix": "paligemma",
    "open_images": "gemma3",
    "layered_features": "qwen3_vl qwen3_vl_moe",
    "tiled": "idefics3 llama4 llava_next llava_onevision minicpmv4_6 mllama smolvlm",
    "one_size": "blip-2 deepseek_vl janus llava paligemma vipllava",
    "crosses": "mllama",
    "stack_alone": "blip-2 llama4",
    "projects_apart": "llama4",
    "turned_experts": "qwen3_vl_moe",
    "carries_state": "minicpmv4_6",
    "reads_sizes": (
        "blip-2 glm4v idefics3 llava_next llava_onevision minicpmv4_6 mistral3 qwen2_5_vl qwen2_vl smolvlm"
    ),
    "takes_lengths": "qwen2_5_vl qwen2_vl",
}
WITHOUT = "aya_vision cohere2_vision internvl"  # any of these
# The tables that a model type, or a tokenizer's class, is in.
MODELS = {
    "TEXT_ENCODERS": "bert mt5 t5 umt5",
    "TEXT_ENCODERS POSITIONS_BEHIND_PADDING": "camembert data2vec-text roberta roberta-prelayernorm xlm-roberta",
    "TEXT_ENCODERS ASKS_IN_LAYERS_OF_4": "distilbert",
    "MAKES_OWN_MASKS": "ctrl openai-gpt",
    "MAKES_OWN_MASKS ASKS_IN_LAYERS_OF_4": "bloom xglm",
    "MAKES_OWN_MASKS ASKS_IN_LAYERS_OF_4 COUNTS_PLACES": "mpt",
    "CARRIES_STATE": "falcon_mamba mamba",
    "CARRIES_STATE ASKS_IN_LAYERS_OF_4": "jamba lfm2 minimax qwen3_next",
    "CARRIES_STATE ASKS_IN_LAYERS_OF_4 LOGIT_FACTORS": "falcon_h1",
    "LOGIT_FACTORS": "cohere cohere2",
    "LOGIT_DIVISORS": "granite",
    "LOGIT_DIVISORS ASKS_IN_LAYERS_OF_4": "granitemoe granitemoeshared",
    "ASKS_IN_LAYERS": "falcon",
    "ASKS_IN_LAYERS_OF_4": (
        "ernie4_5_moe flex_olmo glm4_moe gpt_oss mixtral olmoe phimoe qwen2_moe qwen3_moe qwen3_vl_moe"
    ),
    "SCALES_INPUTS": "gemma gemma2 vaultgemma",
    "WIDTHS_OF_TOKENS": "opt",
    "FEATURE_MAPS WIDTHS_OF_STAGES": "bit convnext convnextv2 poolformer pvt_v2 regnet resnet segformer",
    "FEATURE_MAPS": "vitdet",
    "WIDTHS_OF_STAGES": "dinov3_convnext focalnet",
    "READS_PATCHES": "siglip2_vision_model",
    "TWO_TOWERS READS_ALL_POSITIONS": "siglip siglip2",
    "TWO_TOWERS FIRST_END_TOKEN": "clip",
    "LOWER_CASE_TOKENIZERS": "GemmaTokenizer GemmaTokenizerFast",
}
FIELDS = {
    "WIDTHS_OF_TOKENS": {"opt": "word_embed_proj_dim"},
    "LOGIT_FACTORS": {"cohere": "logit_scale", "cohere2": "logit_scale", "falcon_h1": "lm_head_multiplier"},
    "LOGIT_DIVISORS": dict.fromkeys(("granite", "granitemoe", "granitemoeshared"), "logits_scaling"),
}


@pytest.mark.parametrize("fact", VLMFacts._fields)
def test_a_fact_is_written_of_the_vlms_that_it_is_true_of(fact):
    assert sorted(kind for kind, facts in VLMS.items() if getattr(facts, fact)) == OF_VLMS[fact].split()


def test_of_every_vlm_that_may_be_chosen_there_are_facts_and_reasons_of_those_that_may_not():
    known = set(" ".join(OF_VLMS.values()).split())
    assert {*VLMS} == {*known, *WITHOUT.split()}
    assert all(VLMS[kind] == VLMFacts() for kind in WITHOUT.split())
    assert {kind for kind, facts in VLMS.items() if not facts.replaceable_features} == {
        *("mllama", "qwen3_vl", "qwen3_vl_moe"),
    }
    assert "encoder" in UNFIT_VLMS["florence2"] and "token ids" in UNFIT_VLMS["gemma3n"] == UNFIT_VLMS["gemma4"]
    assert OLDER_NAMES == {
        "qwen3_moe": {"num_experts": "num_local_experts"},
        "qwen3_vl_moe_text": {"num_experts": "num_local_experts"},
        "vipllava": {"vision_feature_layers": "vision_feature_layer"},
    }


def test_a_fact_is_written_of_the_models_that_it_is_true_of():
    tables = {name: getattr(backbone_facts, name) for name in dir(backbone_facts) if name.isupper()}
    kinds = {kind for table in tables.values() for kind in table}
    found = {kind: {name for name, table in tables.items() if kind in table} for kind in kinds}
    assert found == {kind: set(facts.split()) for facts, kinds in MODELS.items() for kind in kinds.split()}
    assert {name: tables[name] for name in FIELDS} == FIELDS
    assert all(len(set(table)) == len(table) for table in tables.values())


def test_blocks_of_a_tower_go_by_the_names_of_transformers():
    dinov2 = BLOCK_NAMES["dinov2"]
    assert dinov2 == BLOCK_NAMES["dinov2_with_registers"]
    assert dinov2 == ("encoder.layer", "layernorm", "norm1", "attention", "norm2", "layer_scale1", "layer_scale2")
    assert BLOCK_NAMES["siglip_vision_model"] == (
        *("encoder.layers", "post_layernorm", "layer_norm1", "self_attn", "layer_norm2", None, None),
    )
    assert set(PATCHES_LAST) == {*BLOCK_NAMES, "beit", "clip_vision_model", "deit", "dinov3_vit", "vit"}


def config(kind, **fields):
    return type("Config", (SimpleNamespace,), {"model_type": kind})(**fields)


def test_an_encoder_is_one_unless_its_config_says_that_it_decodes():
    assert is_text_encoder(config("roberta")) and not is_text_encoder(config("roberta", is_decoder=True))
    assert is_headless(config("bert", is_decoder=False)) and not is_headless(config("roberta"))
    assert not is_text_encoder(config("llama")) and not is_headless(config("llama"))


def test_widths_are_those_of_what_is_read():
    assert width_of_tokens(config("opt", word_embed_proj_dim=8, hidden_size=16)) == 8
    assert width_of_tokens(config("llama", word_embed_proj_dim=8, hidden_size=16)) == 16
    assert width_of_features(config("resnet", hidden_sizes=[8, 16], hidden_size=4)) == 16
    assert width_of_features(config("vit", hidden_sizes=[8, 16], hidden_size=4)) == 4
    assert width_of_features(config("sam")) is None
