"""Configuration of composed VLAs: defaults, what follows from a choice, what is refused, what survives a file."""

import copy
import json
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    GemmaConfig,
    LlamaConfig,
)

from vlahub import MultimodalVLAConfig
from vlahub.configuration.multimodal_vla import nested_configs
from vlahub.errors import ConfigError

STATISTICS = {"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}, "proprio": {"q01": [0.0] * 5, "q99": [1.0] * 5}}}
BLOCK = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {"model_type": "gemma", "hidden_size": 32, **BLOCK, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300}
VISION = {"model_type": "siglip_vision_model", "hidden_size": 24, **BLOCK, "image_size": 28, "patch_size": 14}
PARTS = {"vision_config": VISION, "text_config": TEXT}
PALIGEMMA = {"model_type": "paligemma", **PARTS, "image_token_index": 290, "projection_dim": 32}
QWEN3_VL = {
    "model_type": "qwen3_vl",
    "text_config": {"model_type": "qwen3_vl_text", "hidden_size": 32, **BLOCK, "vocab_size": 300},
    "vision_config": {"hidden_size": 24, "intermediate_size": 32, "depth": 2, "num_heads": 2, "out_hidden_size": 32},
    "image_token_id": 290,
}
NESTED = ("vlm_config", "vision_config", "text_config", "expert_config")
FIELDS = (
    *("projector_type", "num_latents", "num_resampler_layers", "num_resampler_heads", "fusion", "action_head"),
    *("action_dim", "num_action_chunks", "use_proprio", "proprio_dim", "freeze_vision_tower", "num_inference_steps"),
    *("time_sampling", "use_time_weight", "num_action_bins", "action_vocab_size", "norm_stats", "normalization_type"),
    *("pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings", "hidden_size", "num_queries"),
)


def unusual_config():
    return MultimodalVLAConfig(
        vision_config={**VISION, "model_type": "clip_vision_model"},
        text_config={**TEXT, "model_type": "llama", "rope_theta": 5e4, "tie_word_embeddings": True, "pad_token_id": 3},
        projector_type="perceiver",
        num_latents=9,
        num_resampler_layers=3,
        num_resampler_heads=2,
        fusion="cross_attention",
        action_head="flow",
        action_dim=7,
        num_action_chunks=3,
        use_proprio=True,
        proprio_dim=5,
        freeze_vision_tower=False,
        expert_config={"hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 777.0},
        num_inference_steps=4,
        time_sampling="uniform",
        use_time_weight=False,
        num_action_bins=16,
        action_vocab_size=200,
        norm_stats=STATISTICS,
        eos_token_id=4,
    )


def vlm_config():
    return MultimodalVLAConfig(vlm_config=PALIGEMMA, action_head="discrete", projector_type="qformer")


every_config = pytest.mark.parametrize("make", [MultimodalVLAConfig, unusual_config, vlm_config])


def frequencies(text_config):
    model = AutoModelForCausalLM.from_config(text_config)
    return next(module for module in model.modules() if hasattr(module, "inv_freq")).inv_freq


def assert_same(first, second):
    assert {name: getattr(first, name) for name in FIELDS} == {name: getattr(second, name) for name in FIELDS}
    for name in NESTED:
        one, two = getattr(first, name), getattr(second, name)
        assert type(one) is type(two)
        volatile = ("transformers_version", "dtype", "torch_dtype", "_name_or_path")
        contents = [json.loads(json.dumps(part.to_dict())) if part else {} for part in (one, two)]
        for content in contents:
            for key in volatile:
                content.pop(key, None)
        assert contents[0] == contents[1], name


# ---- what a config says


def test_the_default_is_a_siglip_and_a_llama_with_a_regression_head():
    config = MultimodalVLAConfig()
    assert (config.vision_config.model_type, config.text_config.model_type) == ("siglip_vision_model", "llama")
    assert (config.projector_type, config.fusion, config.action_head) == ("mlp", "early", "mlp")
    assert (config.num_latents, config.num_action_chunks, config.action_dim, config.num_action_bins) == (64, 8, 7, 256)
    assert config.freeze_vision_tower and not config.use_proprio and config.vlm_config is None
    assert (config.hidden_size, config.vision_hidden_size, config.image_size) == (4096, 768, 224)
    assert config.action_vocab_size == config.text_config.vocab_size and config.num_resampler_heads == 8


def test_a_vlm_keeps_its_own_projector_unless_another_is_named():
    config = MultimodalVLAConfig(vlm_config=PALIGEMMA)
    assert config.projector_type is None and config.vision_config is None and config.text_config is None
    assert config.text_part is config.vlm_config.get_text_config() and config.hidden_size == 32
    assert config.vision_part is config.vlm_config.vision_config and config.image_size == 28
    assert config.vision_hidden_size == 32  # behind its projector
    assert MultimodalVLAConfig(vlm_config=PALIGEMMA, projector_type="mlp").projector_type == "mlp"


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 8),
        ({"action_head": "discrete"}, 56),
        ({"action_head": "flow"}, 0),
        ({"action_head": "flow", "fusion": "cross_attention"}, 8),
        ({"action_head": "discrete", "fusion": "late", "action_dim": 2, "num_action_chunks": 3}, 6),
    ],
)
def test_a_head_has_as_many_queries_as_it_reads(fields, count):
    assert MultimodalVLAConfig(**PARTS, **fields).num_queries == count


def test_the_flow_heads_stack_has_half_the_language_models_width_unless_it_says_otherwise():
    expert = MultimodalVLAConfig().expert_config
    assert (expert.hidden_size, expert.num_attention_heads, expert.head_dim) == (2048, 8, 256)
    assert (expert.num_hidden_layers, expert.intermediate_size, expert.vocab_size) == (6, 8192, 1)
    small = MultimodalVLAConfig(**PARTS, expert_config={"hidden_size": 48}).expert_config
    assert (small.hidden_size, small.head_dim, small.intermediate_size) == (48, 6, 192)


def test_the_flow_heads_stack_has_as_many_key_heads_as_heads_unless_it_says_otherwise():
    expert = MultimodalVLAConfig(**PARTS, expert_config={"num_attention_heads": 4}).expert_config
    assert (expert.num_attention_heads, expert.num_key_value_heads) == (4, 4)


@pytest.mark.parametrize("width", [32, 48, 100, 2048, 2304, 3584, 4096])
def test_the_flow_heads_width_fits_its_heads_for_any_language_model(width):
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
    expert = MultimodalVLAConfig(
        vision_config=VISION, text_config={**TEXT, "hidden_size": width, **heads}
    ).expert_config
    assert expert.hidden_size == expert.head_dim * expert.num_attention_heads and expert.head_dim % 2 == 0


def test_special_tokens_and_tying_are_the_language_models_unless_they_are_given():
    text = {**TEXT, "pad_token_id": 7, "bos_token_id": 8, "eos_token_id": 9}
    config = MultimodalVLAConfig(vision_config=VISION, text_config=text, eos_token_id=10)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (7, 8, 10)
    assert config.tie_word_embeddings  # as a Gemma
    assert not MultimodalVLAConfig().tie_word_embeddings


@pytest.mark.parametrize(("projector", "heads"), [("qformer", 4), ("perceiver", 8), ("mlp", 8)])
def test_resamplers_have_as_many_heads_as_divide_all_that_they_read(projector, heads):
    """A Q-Former's layers look at vision features of their own width, 20 here; a perceiver's have the text's, 32."""
    parts = {**PARTS, "vision_config": {**VISION, "hidden_size": 20}}
    assert MultimodalVLAConfig(**parts, projector_type=projector).num_resampler_heads == heads


# ---- being written and read


@every_config
def test_a_config_survives_a_dict_a_copy_and_a_file(make, tmp_path):
    config = make()
    assert_same(MultimodalVLAConfig.from_dict(json.loads(json.dumps(config.to_dict()))), config)
    assert_same(copy.deepcopy(config), config)
    config.save_pretrained(tmp_path)
    for reader in (MultimodalVLAConfig, AutoConfig):
        loaded = reader.from_pretrained(tmp_path)
        assert isinstance(loaded, MultimodalVLAConfig)
        assert_same(loaded, config)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "multimodal_vla"
    assert written["auto_map"]["AutoModel"] == "modeling_multimodal_vla.MultimodalVLAForActionPrediction"
    loaded.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == written


def test_nothing_is_written_of_how_and_where_the_weights_of_a_part_were_once_loaded():
    config = MultimodalVLAConfig(vlm_config=PALIGEMMA)
    for part in (config.vlm_config, config.vlm_config.text_config):
        part._pre_quantization_dtype, part.quantization_config = "bfloat16", {"quant_method": "x"}
    config.vlm_config._name_or_path = "/home/somebody/weights"
    written = config.to_json_string()
    assert not [each for each in ("somebody", "_pre_quantization_dtype") if each in written]
    assert "quant_method" not in json.dumps(json.loads(written)["vlm_config"] | {"text_config": {}})


@pytest.mark.every_case
@pytest.mark.parametrize("is_4", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_a_vlm_is_written_with_one_word_about_its_head_whichever_config_is_asked(tied, is_4, monkeypatch):
    """4.57 asks the text's config, 5.x the VLM's: a file in which they differ would be two models."""
    monkeypatch.setattr(nested_configs, "IS_4", is_4)
    vlm = {**PALIGEMMA, "tie_word_embeddings": tied, "text_config": {**TEXT, "tie_word_embeddings": not tied}}
    config = MultimodalVLAConfig(vlm_config=vlm)
    written = config.to_diff_dict()["vlm_config"]
    said = {written["tie_word_embeddings"], written["text_config"]["tie_word_embeddings"]}
    assert said == {config.tie_word_embeddings} == {tied != is_4}


OLDER = {  # of a model type: the field that 4.57 reads, how 5.x writes it, and a value
    "qwen3_moe": ("num_experts", "num_local_experts", 6),
    "qwen3_vl_moe": ("num_experts", "num_local_experts", 6),
    "vipllava": ("vision_feature_layers", "vision_feature_layer", [-2, -5]),
}


@pytest.mark.every_case
@pytest.mark.parametrize("kind", OLDER)
def test_a_field_is_written_by_the_name_that_the_older_line_reads(kind):
    older, newer, value = OLDER[kind]
    given = {older: value}
    config = AutoConfig.for_model(kind, **({"text_config": given} if kind == "qwen3_vl_moe" else given))
    part = config.text_config if kind == "qwen3_vl_moe" else config
    written = nested_configs.whole(config)
    found = written["text_config"] if kind == "qwen3_vl_moe" else written
    assert found[older] == value == getattr(part, older, None)
    again = AutoConfig.for_model(**written)
    assert getattr(again.text_config if kind == "qwen3_vl_moe" else again, older) == value
    vars(part).update({newer: value})
    vars(part).pop(older, None)
    of_newer = nested_configs.whole(config)
    assert (of_newer["text_config"] if kind == "qwen3_vl_moe" else of_newer)[older] == value


@pytest.mark.every_case
@pytest.mark.parametrize("tied", [True, False])
def test_a_vlms_head_is_said_to_be_tied_where_it_is(tied):
    vlm = {**PALIGEMMA, "tie_word_embeddings": tied, "text_config": {**TEXT, "tie_word_embeddings": not tied}}
    config = MultimodalVLAConfig(vlm_config=vlm)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config.vlm_config)
    weights = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert config.tie_word_embeddings == (weights[0] is weights[1])


@pytest.mark.parametrize("is_4", [True, False])
def test_each_line_asks_another_config_whether_a_vlms_head_is_tied(is_4, monkeypatch):
    monkeypatch.setattr(nested_configs, "IS_4", is_4)
    for tied in (True, False):
        text = SimpleNamespace(tie_word_embeddings=tied)
        vlm = SimpleNamespace(tie_word_embeddings=not tied, get_text_config=lambda decoder, text=text: decoder and text)
        assert nested_configs.ties_words(vlm) == (tied if is_4 else not tied)
        del vlm.tie_word_embeddings
        assert nested_configs.ties_words(vlm) == tied


def test_the_kind_of_a_config_is_its_classs_where_it_answers_for_another():
    """As a Qwen-VL's of 4.57.1 does."""
    config = type("Config", (), {"model_type": "qwen2_vl"})()
    config.model_type = "qwen2_vl_text"
    assert nested_configs.kind_of(config) == "qwen2_vl"


def test_a_t5_is_tied_whatever_its_config_says():
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 300}
    text = {"model_type": "t5", **sizes, "decoder_start_token_id": 0, "tie_word_embeddings": False}
    config = MultimodalVLAConfig(vision_config=VISION, text_config=text, action_head="mlp")
    assert config.tie_word_embeddings


def test_a_field_can_be_changed_while_loading(tmp_path):
    unusual_config().save_pretrained(tmp_path)
    loaded = MultimodalVLAConfig.from_pretrained(tmp_path, num_inference_steps=17, use_time_weight=True)
    assert loaded.num_inference_steps == 17 and loaded.use_time_weight and loaded.num_latents == 9


LINEAR = {"rope_type": "linear", "factor": 4.0}
ROPES = {
    "base": ({"rope_theta": 5e4}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e4}}),
    "linear": (
        {"rope_theta": 5e4, "rope_scaling": LINEAR},
        {"rope_theta": 5e4, "rope_parameters": {**LINEAR, "rope_theta": 5e4}},
    ),
}


@pytest.mark.parametrize("name", ROPES)
@pytest.mark.parametrize("model_type", ["llama", "gemma", "qwen2"])
def test_rotary_settings_in_the_form_of_either_line_of_transformers_are_read_and_written(name, model_type, tmp_path):
    text = {**TEXT, "model_type": model_type}
    first = 1.0 / 4 if name == "linear" else 1.0
    size = 32 // 2 if model_type == "qwen2" else 16
    wanted = first / 5e4 ** (torch.arange(0, size, 2) / size)
    for form in ROPES[name]:
        config = MultimodalVLAConfig(vision_config=VISION, text_config={**text, **form}, expert_config=form)
        config.save_pretrained(tmp_path)
        for each in (config, MultimodalVLAConfig.from_pretrained(tmp_path), copy.deepcopy(config)):
            torch.testing.assert_close(frequencies(each.text_config), wanted)
            expert = LlamaConfig.from_dict({**each.expert_config.to_dict(), "num_hidden_layers": 1})
            torch.testing.assert_close(frequencies(expert)[1], first * torch.tensor(5e4 ** (-2 / expert.head_dim)))


@pytest.mark.parametrize("name", ROPES)
def test_rotary_settings_inside_a_vlm_are_read_and_written(name, tmp_path):
    wanted = None
    for form in ROPES[name]:
        config = MultimodalVLAConfig(vlm_config={**PALIGEMMA, "text_config": {**TEXT, **form}})
        config.save_pretrained(tmp_path)
        for each in (config, MultimodalVLAConfig.from_pretrained(tmp_path)):
            found = frequencies(each.text_part)
            wanted = found if wanted is None else wanted
            torch.testing.assert_close(found, wanted)
    assert not torch.allclose(wanted, frequencies(GemmaConfig(**{k: v for k, v in TEXT.items() if k != "model_type"})))


def test_the_share_of_dimensions_that_rotate_is_read_in_either_form(tmp_path):
    share = {"partial_rotary_factor": 0.25}
    for form in (share, {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, **share}}):
        config = MultimodalVLAConfig(
            vision_config=VISION, text_config={**TEXT, "model_type": "glm", "pad_token_id": 0, **form}
        )
        config.save_pretrained(tmp_path)
        for each in (config, MultimodalVLAConfig.from_pretrained(tmp_path)):
            assert len(frequencies(each.text_config)) == 16 // 4 // 2  # default: a half


# ---- given things


def test_configs_that_are_given_are_copied_and_dicts_not_modified():
    objects = {"vision_config": CLIPVisionConfig(), "text_config": LlamaConfig(vocab_size=300)}
    config = MultimodalVLAConfig(**objects)
    assert all(getattr(config, name) is not value for name, value in objects.items())
    config.text_config.hidden_size = 1
    assert objects["text_config"].hidden_size == 4096
    dicts = {**PARTS, "expert_config": {"hidden_size": 16}, "norm_stats": STATISTICS}
    dicts["text_config"] = {**TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 9.0}}
    before = json.dumps(dicts)
    MultimodalVLAConfig(**dicts)
    assert json.dumps(dicts) == before


def test_an_expert_config_that_is_given_is_copied_too():
    expert = LlamaConfig(hidden_size=32, num_attention_heads=4, vocab_size=1)
    assert MultimodalVLAConfig(**PARTS, expert_config=expert).expert_config is not expert


# ---- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"projector_type": "conv"}, "^projector_type='conv' is unknown; choose from linear, mlp, perceiver, qformer"),
        ({"fusion": "middle"}, "^fusion='middle' is unknown; choose from early, cross_attention, late, film"),
        ({"action_head": "dit"}, "^action_head='dit' is unknown; choose from mlp, flow, discrete"),
        ({"normalization_type": "none"}, "^normalization_type='none' is unknown"),
        ({"time_sampling": "normal"}, "^time_sampling='normal' is unknown; choose from beta, uniform"),
        *(
            ({name: value}, f"^{name}={value!r} must be a positive whole number")
            for name in ("num_latents", "num_resampler_layers", "action_dim", "num_action_chunks")
            for value in (0, -1, 2.5)
        ),
        ({"num_resampler_heads": -2}, "^num_resampler_heads=-2 must be"),
        ({"num_inference_steps": 0}, "^num_inference_steps=0 must be"),
        ({"num_action_bins": 1}, "^num_action_bins=1 must be between 2 and action_vocab_size=300"),
        ({"num_action_bins": 301}, "^num_action_bins=301 must be between"),
        ({"num_action_bins": 100, "action_vocab_size": 64}, "^num_action_bins=100 must be .* action_vocab_size=64"),
        ({"action_vocab_size": 301}, "^action_vocab_size=301 is above the language model's vocab_size, 300"),
        ({"use_proprio": True}, "^state_dim=None must be"),
        ({"use_proprio": True, "proprio_dim": 0}, "^state_dim=0 must be"),
        ({"projector_type": "perceiver", "num_resampler_heads": 5}, "^num_resampler_heads=5 .* language model's .* 32"),
        ({"projector_type": "qformer", "num_resampler_heads": 5}, "^num_resampler_heads=5 .* vision width, 24"),
        ({"fusion": "cross_attention", "num_resampler_heads": 3}, "^num_resampler_heads=3 must divide"),
        ({"text_config": None}, "^vision_config and text_config belong together"),
        ({"vision_config": None}, "^vision_config and text_config belong together"),
        ({"vlm_config": PALIGEMMA}, "^vlm_config takes the place of vision_config and text_config"),
        ({"text_config": {**TEXT, "model_type": "gpt9"}}, "^text_config.model_type is 'gpt9'"),
        ({"vision_config": {"hidden_size": 3}}, "^vision_config.model_type is None"),
        ({"norm_stats": STATISTICS, "action_dim": 6}, r"^norm_stats\['a'\]\['action'\]\['q01'\] has 7.*needs 6"),
        ({"norm_stats": STATISTICS, "use_proprio": True, "proprio_dim": 4}, r"^norm_stats\['a'\]\['proprio'\].* 5"),
        ({"norm_stats": {"empty": {}}}, r"^norm_stats\['empty'\]"),
        ({"expert_config": {"model_type": "gpt2"}}, r"model_type is 'gpt2'"),
        (
            {"expert_config": {"hidden_size": 20, "num_attention_heads": 4}},
            "^expert_config.hidden_size=20 .* twice num_",
        ),
        (
            {"text_config": {"model_type": ["llama"]}},
            r"^text_config.model_type is \['llama'\], which transformers does",
        ),
        (
            {"vision_config": "google/siglip"},
            "^vision_config must be a config or a dict of its fields, not 'google/sig",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        MultimodalVLAConfig(**{"action_dim": 7, "num_action_bins": 32, **PARTS, **fields})


@pytest.mark.parametrize("fields", [{"projector_type": "mlp"}, {"projector_type": "perceiver"}, {"fusion": "film"}])
def test_a_vlm_whose_image_features_enter_several_layers_keeps_its_own_projector(fields):
    assert MultimodalVLAConfig(vlm_config=QWEN3_VL).projector_type is None
    with pytest.raises(ConfigError, match="replaces image features, which a qwen3_vl also reads in deeper layers"):
        MultimodalVLAConfig(vlm_config=QWEN3_VL, **fields)


def test_statistics_of_a_state_that_is_not_used_and_heads_that_are_not_there_do_not_matter():
    assert MultimodalVLAConfig(**PARTS, norm_stats=STATISTICS).norm_stats == STATISTICS
    assert MultimodalVLAConfig(**PARTS, num_resampler_heads=5).num_resampler_heads == 5
