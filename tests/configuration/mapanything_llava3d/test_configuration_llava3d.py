"""Configuration of the LLaVA-3D family: defaults, short forms, what is refused, what survives being written."""

import builtins
import io
import json
import socket
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, LlamaConfig, MistralConfig, SiglipVisionConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from vlahub import MapAnythingLlava3DConfig
from vlahub.configuration.mapanything_llava3d.configuration_dit_action_head import DiTActionHeadConfig
from vlahub.configuration.mapanything_llava3d.configuration_mapanything import MapAnythingGeometryConfig
from vlahub.errors import ConfigError

STATISTICS = {"libero": {"action": {"q01": [0.0] * 7, "q99": [1.0] * 7}, "state": {"q01": [0.0] * 8, "q99": [1.0] * 8}}}
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "factor": 4.0}


def unusual_config():
    return MapAnythingLlava3DConfig(
        vision_config={"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3, "image_size": 28},
        text_config={"model_type": "mistral", **TEXT, "head_dim": 24, "rope_theta": 5e4, "sliding_window": 77},
        geometry_config={"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1},
        expert_config={"intermediate_size": 44, "rms_norm_eps": 1e-3},
        expert_hidden_size=40,
        expert_num_layers=3,
        dit_config={"context": "concat", "attention_head_dim": 16, "num_hidden_layers": 2},
        image_token_id=-200,
        image_seq_length=9,
        action_expert_type="deep_fusion+dit",
        expert_layer_alignment="even",
        prefix_attention="causal",
        action_dim=7,
        action_horizon=5,
        use_state=True,
        state_dim=8,
        use_time_weight=False,
        time_sampling="uniform",
        num_inference_steps=3,
        pixel_range="unit",
        geometry_normalization="none",
        use_geometric_branch=False,
        prefix_lang_dropout_prob=0.1,
        prefix_image_dropout_prob=0.2,
        use_spatial_token=True,
        spatial_token_num=33,
        action_token_begin_idx=60,
        normalization_type="bounds_q99",
        norm_stats=STATISTICS,
        vision_model_name_or_path="google/siglip",
        language_model_name_or_path="some/llm",
        mapanything_model_name_or_path="facebook/map-anything",
        pad_token_id=5,
        tie_word_embeddings=True,
    )


FIELDS = [
    *("image_token_id", "image_token_index", "image_seq_length", "action_expert_type", "expert_layer_alignment"),
    *("prefix_attention", "action_dim", "action_horizon", "use_state", "state_dim", "use_time_weight", "time_sampling"),
    *("num_inference_steps", "pixel_range", "geometry_normalization", "use_geometric_branch"),
    *("prefix_lang_dropout_prob", "prefix_image_dropout_prob", "use_spatial_token", "spatial_token_num"),
    *("action_token_begin_idx", "normalization_type", "norm_stats", "vision_model_name_or_path"),
    *("language_model_name_or_path", "mapanything_model_name_or_path", "pad_token_id", "bos_token_id", "eos_token_id"),
    *("tie_word_embeddings", "expert_hidden_size", "expert_num_layers", "expert_mlp_ratio", "num_image_tokens"),
]
PARTS = ["vision_config", "text_config", "geometry_config", "expert_config", "dit_config"]


def assert_same(first, second):
    assert {name: getattr(first, name) for name in FIELDS} == {name: getattr(second, name) for name in FIELDS}
    for name in PARTS:
        one, two = getattr(first, name), getattr(second, name)
        assert type(one) is type(two)
        assert one.to_dict() == two.to_dict()


def frequencies(text_config):
    return LlamaRotaryEmbedding(text_config).inv_freq


# ---- what a config says


def test_the_default_has_the_published_sizes():
    config = MapAnythingLlava3DConfig()
    vision, text, expert = config.vision_config, config.text_config, config.expert_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.patch_size, vision.image_size) == (1152, 27, 14, 224)
    assert (vision.intermediate_size, vision.num_attention_heads, vision.vision_use_head) == (4304, 16, False)
    assert (text.model_type, text.hidden_size, text.num_hidden_layers, text.head_dim) == ("llama", 4096, 32, 128)
    assert (expert.hidden_size, expert.num_hidden_layers, expert.head_dim, expert.vocab_size) == (2048, 32, 128, 1)
    assert (config.num_image_tokens, config.image_token_id, config.image_token_index) == (256, 32000, 32000)
    assert config.geometry_config.to_dict() == MapAnythingGeometryConfig().to_dict()
    assert config.action_expert_type == "deep_fusion" and config.prefix_attention == "bidirectional"
    assert (config.action_dim, config.action_horizon, config.num_inference_steps) == (7, 10, 10)


def test_the_short_forms_of_the_expert_say_the_same_as_its_config():
    short = MapAnythingLlava3DConfig(text_config=TEXT, expert_hidden_size=32, expert_num_layers=3, expert_mlp_ratio=1.5)
    long = MapAnythingLlava3DConfig(
        text_config=TEXT, expert_config={"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 48}
    )
    assert_same(short, long)
    assert (short.expert_hidden_size, short.expert_num_layers, short.expert_mlp_ratio) == (32, 3, 1.5)
    assert short.expert_config.intermediate_size == 48
    assert short.expert_config.head_dim == short.text_config.head_dim == 16


def test_an_expert_keeps_the_bases_ratio_of_mlp_to_width():
    config = MapAnythingLlava3DConfig(text_config=TEXT, expert_config={"hidden_size": 20})
    assert config.expert_mlp_ratio == config.text_config.intermediate_size / config.text_config.hidden_size == 2.5


@pytest.mark.parametrize(
    "fields",
    [
        {"expert_config": {"hidden_size": 32}, "expert_hidden_size": 16},
        {"expert_config": {"num_hidden_layers": 2}, "expert_num_layers": 3},
        {"expert_config": {"intermediate_size": 100}, "expert_mlp_ratio": 2.0},
        {"expert_config": LlamaConfig(**{**TEXT, "hidden_size": 32, "head_dim": 16}), "expert_hidden_size": 16},
    ],
)
def test_short_forms_that_contradict_the_experts_config_are_refused(fields):
    with pytest.raises(ConfigError, match=r"expert_(hidden_size|num_layers|mlp_ratio)"):
        MapAnythingLlava3DConfig(text_config=TEXT, **fields)


def test_parts_may_be_given_as_objects_and_are_copied():
    parts = {
        "vision_config": SiglipVisionConfig(hidden_size=32, num_attention_heads=2, vision_use_head=False),
        "text_config": MistralConfig(**TEXT, head_dim=16),
        "geometry_config": MapAnythingGeometryConfig(hidden_size=32, num_attention_heads=2),
        "expert_config": MistralConfig(**{**TEXT, "hidden_size": 32}, head_dim=16),
        "dit_config": DiTActionHeadConfig(hidden_size=64, action_horizon=10, num_hidden_layers=2),
    }
    config = MapAnythingLlava3DConfig(**parts, action_expert_type="deep_fusion+dit")
    for name, part in parts.items():
        assert getattr(config, name) is not part and getattr(config, name).to_dict() == part.to_dict()
    as_dicts = {name: part.to_dict() for name, part in parts.items()}
    assert_same(MapAnythingLlava3DConfig(**as_dicts, action_expert_type="deep_fusion+dit"), config)


@pytest.mark.parametrize("given", [dict, MistralConfig])
def test_a_mistral_config_without_head_size_gets_the_one_that_follows_from_its_width(given):
    fields = {**TEXT, "head_dim": None, "sliding_window": None}
    text = {"model_type": "mistral", **fields} if given is dict else MistralConfig(**fields)
    config = MapAnythingLlava3DConfig(text_config=text)
    assert type(config.text_config) is type(config.expert_config) is MistralConfig
    assert config.text_config.head_dim == config.expert_config.head_dim == 16


def test_the_dit_head_follows_the_model_unless_it_says_otherwise():
    fields = {"action_expert_type": "dit", "action_dim": 6, "action_horizon": 3, "use_state": True, "state_dim": 8}
    head = MapAnythingLlava3DConfig(text_config=TEXT, dit_config={"num_hidden_layers": 2}, **fields).dit_config
    assert (head.hidden_size, head.num_hidden_layers, head.action_dim, head.action_horizon) == (64, 2, 6, 3)
    assert head.state_dim == 8
    assert MapAnythingLlava3DConfig(text_config=TEXT, **fields).dit_config.num_hidden_layers == 6
    assert MapAnythingLlava3DConfig(text_config=TEXT, **{**fields, "use_state": False}).dit_config.state_dim is None


def test_the_sampling_of_a_dit_head_alone_is_that_of_its_own_config():
    dit = {"num_hidden_layers": 2, "num_inference_steps": 3, "ode_solver": "heun", "ode_spacing": "cosine"}
    sampling = {"dit": (3, "heun", "cosine"), "deep_fusion+dit": (10, "euler", "uniform")}
    for kind, wanted in sampling.items():
        config = MapAnythingLlava3DConfig(text_config=TEXT, dit_config=dit, action_expert_type=kind)
        assert (config.num_inference_steps, config.ode_solver, config.ode_spacing) == wanted
        given = MapAnythingLlava3DConfig(
            text_config=TEXT, dit_config=dit, action_expert_type=kind, ode_solver="midpoint"
        )
        assert (given.num_inference_steps, given.ode_solver) == (wanted[0], "midpoint")


@pytest.mark.parametrize("word", ["num_inference_steps", "num_inference_timesteps"])
def test_a_sampling_that_would_have_no_effect_is_refused_where_it_is_given(word, tmp_path):
    fields = {"text_config": TEXT, "dit_config": {"num_hidden_layers": 2}, "action_expert_type": "dit"}
    MapAnythingLlava3DConfig(**fields, num_inference_steps=3).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"^dit_config={'num_inference_steps': 7} has no effect .*: give num_infere"):
        MapAnythingLlava3DConfig.from_pretrained(tmp_path, dit_config={word: 7})
    config = MapAnythingLlava3DConfig.from_pretrained(tmp_path, dit_config={word: 7}, num_inference_steps=7)
    assert (config.num_inference_steps, config.dit_config.num_inference_steps) == (7, 7)
    config = MapAnythingLlava3DConfig.from_pretrained(tmp_path, dit_config={"dropout": 0.2}, num_inference_steps=7)
    assert (config.num_inference_steps, config.dit_config.dropout) == (7, 0.2)


def test_a_dit_head_has_the_robots_of_the_model_and_no_others():
    fields = {"text_config": TEXT, "action_expert_type": "dit", "num_embodiments": 3}
    assert MapAnythingLlava3DConfig(**fields).dit_config.num_embodiments == 3
    with pytest.raises(ConfigError, match=r"^dit_config.num_embodiments=2 must be 3"):
        MapAnythingLlava3DConfig(**fields, dit_config={"num_embodiments": 2})


@pytest.mark.parametrize("context", ["interleave", "cross", "concat", "self"])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_last_layer_of_the_vlm_is_read_where_the_last_block_looks_at_it(context, blocks):
    """Interleaved blocks look at the VLM and at their own tokens by turns; `self` begins with its last states."""
    head = DiTActionHeadConfig(num_hidden_layers=blocks, context=context)
    assert head.reads_last_layer == (context != "interleave" or blocks % 2 == 1)


def test_image_tokens_are_the_patches_of_one_view_or_what_was_said():
    vision = {"image_size": 384, "patch_size": 14}
    assert MapAnythingLlava3DConfig(vision_config=vision, use_geometric_branch=False).num_image_tokens == 729
    assert MapAnythingLlava3DConfig(image_seq_length=5).num_image_tokens == 5


def test_the_published_name_of_the_image_token_is_read_and_written():
    config = MapAnythingLlava3DConfig(image_token_index=7)
    assert config.image_token_id == config.image_token_index == 7
    config.image_token_index = 9
    assert config.image_token_id == 9
    assert MapAnythingLlava3DConfig.from_dict({"image_token_index": -200}).image_token_id == -200


def test_special_tokens_and_tying_follow_the_language_model_unless_they_are_given():
    text = {**TEXT, "pad_token_id": 3, "bos_token_id": 4, "eos_token_id": 5, "tie_word_embeddings": True}
    config = MapAnythingLlava3DConfig(text_config=text)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (3, 4, 5)
    assert config.tie_word_embeddings
    assert MapAnythingLlava3DConfig(text_config=text, pad_token_id=9).pad_token_id == 9
    assert (config.expert_config.pad_token_id, config.expert_config.tie_word_embeddings) == (None, False)


def test_nothing_is_opened_not_even_the_paths_that_are_kept(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise AssertionError(f"opened {arguments}")

    for place, name in ((builtins, "open"), (io, "open"), (Path, "open"), (socket, "socket")):
        monkeypatch.setattr(place, name, refuse)
    paths = {f"{part}_model_name_or_path": str(tmp_path / part) for part in ("vision", "language", "mapanything")}
    config = MapAnythingLlava3DConfig(**paths)
    assert all(getattr(config, name) == path for name, path in paths.items())


def test_dicts_given_to_the_constructor_are_not_modified():
    parts = {
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 32, "num_attention_heads": 2},
        "text_config": {"model_type": "llama", **TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 9.0}},
        "expert_config": {"hidden_size": 20},
        "dit_config": {"num_hidden_layers": 2},
        "geometry_config": {"hidden_size": 48},
    }
    before = json.dumps(parts)
    MapAnythingLlava3DConfig(**parts)
    assert json.dumps(parts) == before


# ---- being written and read


@pytest.mark.parametrize("make", [MapAnythingLlava3DConfig, unusual_config])
def test_a_config_survives_a_dict(make):
    config = make()
    assert_same(MapAnythingLlava3DConfig.from_dict(json.loads(json.dumps(config.to_dict()))), config)


@pytest.mark.parametrize("make", [MapAnythingLlava3DConfig, unusual_config])
@pytest.mark.parametrize("reader", [MapAnythingLlava3DConfig, AutoConfig])
def test_a_config_survives_a_file(make, reader, tmp_path):
    config = make()
    config.save_pretrained(tmp_path)
    loaded = reader.from_pretrained(tmp_path)
    assert isinstance(loaded, MapAnythingLlava3DConfig)
    assert_same(loaded, config)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "mapanything_llava3d"
    assert "AutoModelForVision2Seq" in written["auto_map"]


def test_a_field_can_be_changed_while_loading(tmp_path):
    unusual_config().save_pretrained(tmp_path)
    loaded = MapAnythingLlava3DConfig.from_pretrained(tmp_path, num_inference_steps=17, prefix_attention="causal")
    assert loaded.num_inference_steps == 17


ROPES = {
    "base": ({"rope_theta": 5e5}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    "llama3": (
        {"rope_theta": 5e5, "rope_scaling": LLAMA3},
        {"rope_parameters": {**LLAMA3, "rope_theta": 5e5}},
    ),
    "linear": (
        {"rope_theta": 10000.0, "rope_scaling": LINEAR},
        {"rope_parameters": {**LINEAR, "rope_theta": 10000.0}},
    ),
}


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
@pytest.mark.parametrize("name", ROPES)
def test_rotary_settings_in_the_form_of_either_line_of_transformers_are_read_and_written(name, model_type, tmp_path):
    older, newer = (
        MapAnythingLlava3DConfig(text_config={"model_type": model_type, **TEXT, "head_dim": 16, **form})
        for form in ROPES[name]
    )
    wanted = frequencies(older.text_config)
    assert not torch.allclose(wanted, frequencies(LlamaConfig(**TEXT)))
    for config in (older, newer):
        torch.testing.assert_close(frequencies(config.text_config), wanted)
        torch.testing.assert_close(frequencies(config.expert_config), wanted)
        config.save_pretrained(tmp_path)
        loaded = MapAnythingLlava3DConfig.from_pretrained(tmp_path)
        torch.testing.assert_close(frequencies(loaded.text_config), wanted)


@pytest.mark.parametrize("name", ROPES)
def test_a_file_of_either_line_of_transformers_is_read(name, tmp_path):
    """Both sub-configs in the other line's form, as that line writes them."""
    wanted = frequencies(MapAnythingLlava3DConfig(text_config={**TEXT, **ROPES[name][0]}).text_config)
    own = MapAnythingLlava3DConfig(text_config=TEXT, dit_config={"num_hidden_layers": 2}, expert_num_layers=2)
    for form in ROPES[name]:
        content = json.loads(json.dumps(own.to_dict()))
        for part in ("text_config", "expert_config"):
            for key in ("rope_theta", "rope_scaling", "rope_parameters"):
                content[part].pop(key, None)
            content[part].update(form)
        (tmp_path / "config.json").write_text(json.dumps(content))
        loaded = MapAnythingLlava3DConfig.from_pretrained(tmp_path)
        torch.testing.assert_close(frequencies(loaded.text_config), wanted)
        torch.testing.assert_close(frequencies(loaded.expert_config), wanted)


def test_a_rotary_base_given_as_an_object_is_the_experts_too():
    config = MapAnythingLlava3DConfig(text_config=LlamaConfig(**TEXT, rope_theta=777.0))
    torch.testing.assert_close(frequencies(config.expert_config), frequencies(config.text_config))
    assert not torch.allclose(frequencies(config.text_config), frequencies(LlamaConfig(**TEXT)))


# ---- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action_expert_type": "flow"}, "^action_expert_type='flow' is unknown; choose from deep_fusion, dit"),
        ({"expert_layer_alignment": "bottom"}, "^expert_layer_alignment='bottom' is unknown; choose from top, even"),
        ({"prefix_attention": "full"}, "^prefix_attention='full' is unknown"),
        ({"pixel_range": "bytes"}, "^pixel_range='bytes' is unknown; choose from siglip, unit"),
        ({"geometry_normalization": "dust3r"}, "^geometry_normalization='dust3r' is unknown"),
        ({"time_sampling": "normal"}, "^time_sampling='normal' is unknown; choose from beta, uniform"),
        ({"normalization_type": "q99"}, "^normalization_type='q99' is unknown"),
        ({"action_dim": 0}, "^action_dim=0 must be a positive whole number"),
        ({"action_horizon": 2.5}, r"^num_action_chunks=2\.5"),
        ({"num_inference_steps": True}, "^num_inference_steps=True"),
        ({"spatial_token_num": -1}, "^spatial_token_num=-1"),
        ({"use_state": True}, "^state_dim=None"),
        ({"use_state": True, "state_dim": 0}, "^state_dim=0"),
        ({"prefix_lang_dropout_prob": 1.0}, r"^prefix_lang_dropout_prob=1\.0 must be at least 0 and below 1"),
        ({"prefix_image_dropout_prob": -0.1}, r"^prefix_image_dropout_prob=-0\.1"),
        ({"use_spatial_token": True}, "^use_spatial_token=True needs action_token_begin_idx"),
        ({"text_config": {"model_type": "gpt2"}}, "^text_config.model_type is 'gpt2'; supported are llama, mistral"),
        ({"expert_config": {"model_type": "mistral"}}, "^expert_config.model_type is 'mistral', text_config.*'llama'"),
        ({"expert_config": {"model_type": "gpt2"}}, "^expert_config.model_type is 'gpt2'"),
        ({"expert_config": {"num_attention_heads": 8}}, "^expert_config.num_attention_heads=8 must be that of .* 4:"),
        ({"expert_config": {"num_key_value_heads": 4}}, "^expert_config.num_key_value_heads=4 must be .* 2:"),
        ({"text_config": {**TEXT, "num_key_value_heads": 3}}, "^num_key_value_heads=3 .* divide num_attention_heads=4"),
        ({"expert_config": {"head_dim": 8}}, "^expert_config.head_dim=8 must be that of text_config, 16:"),
        ({"expert_config": LlamaConfig(**{**TEXT, "hidden_size": 32})}, "^expert_config.head_dim=8 must be"),
        ({"expert_config": MistralConfig(**TEXT)}, "^expert_config.model_type is 'mistral'"),
        ({"expert_num_layers": 7}, "^expert_config.num_hidden_layers=7 must be between 1 and the base's 6"),
        ({"expert_config": {"num_hidden_layers": 0}}, "^expert_config.num_hidden_layers=0 must be between 1"),
        (
            {"text_config": {**TEXT, "hidden_size": 66, "num_attention_heads": 3, "num_key_value_heads": 3}}
            | {"expert_hidden_size": 33},
            "^hidden_size=33 of the expert must be even",
        ),
        (
            {"action_expert_type": "dit", "dit_config": {"vl_hidden_size": 32}},
            "^dit_config.vl_hidden_size=32 must be 64",
        ),
        (
            {"action_expert_type": "dit", "dit_config": {"hidden_size": 128}, "dit_hidden_size": 192},
            "^dit_hidden_size=192 is not what dit_config says, 128",
        ),
        ({"action_expert_type": "dit", "guidance_scale": 3.0}, "^guidance_scale=3.0 is a field of dit_config"),
        ({"action_expert_type": "dit", "dit_config": {"action_dim": 5}}, "^dit_config.action_dim=5 must be 7"),
        ({"action_expert_type": "dit", "dit_config": {"state_dim": 5}}, "^dit_config.state_dim=5 must be None"),
        ({"action_expert_type": "dit", "dit_config": {"num_hidden_layers": 7}}, "^dit_config.num_hidden_layers=7 must"),
        ({"norm_stats": STATISTICS, "action_dim": 6}, r"^norm_stats\['libero'\]\['action'\]\['q01'\] has 7.*needs 6"),
        (
            {"norm_stats": STATISTICS, "use_state": True, "state_dim": 9},
            r"^norm_stats\['libero'\]\['state'\]\['q01'\] has 8.*needs 9",
        ),
        ({"norm_stats": STATISTICS, "normalization_type": "normal"}, r"^norm_stats.*\['mean'\] has 0 values"),
        ({"norm_stats": {"empty": {}}}, r"^norm_stats\['empty'\]"),
        ({"image_seq_length": 0}, "^image_seq_length=0"),
        (
            {"vision_config": {"image_size": 384, "patch_size": 14}},
            r"^vision_config.image_size=384 is no multiple of geometry_config.patch_size=14.*geometric_branch=False",
        ),
        (
            {"action_expert_type": "dit", "time_sampling": "uniform"},
            "^time_sampling='uniform' has no effect with action_expert_type='dit'.*noise_beta_alpha",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        MapAnythingLlava3DConfig(**{"text_config": TEXT, **fields})


def test_statistics_of_a_state_that_is_not_used_do_not_matter():
    assert MapAnythingLlava3DConfig(text_config=TEXT, norm_stats=STATISTICS).norm_stats == STATISTICS


def test_dit_settings_do_not_matter_without_the_head():
    config = MapAnythingLlava3DConfig(text_config=TEXT, dit_config={"action_dim": 5, "num_hidden_layers": 99})
    assert not config.has_dit and config.dit_config.action_dim == 5


@pytest.mark.parametrize("width", [30, 42])
def test_a_width_that_the_heads_do_not_divide_is_refused_on_both_lines(width):
    with pytest.raises(ConfigError, match=f"hidden_size={width} of the expert"):
        MapAnythingLlava3DConfig(text_config={**TEXT, "num_attention_heads": 4}, expert_hidden_size=width)


def test_half_the_width_is_rounded_to_what_the_heads_divide():
    text = {"hidden_size": 36, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 8}
    assert MapAnythingLlava3DConfig(text_config=text).expert_config.hidden_size == 16


def test_what_is_given_wins_over_the_sizes_of_a_published_geometry():
    config = MapAnythingGeometryConfig.v1(info_sharing_num_hidden_layers=2, final_norm=False)
    assert (config.info_sharing_num_hidden_layers, config.final_norm) == (2, False)
    assert config.info_sharing_hidden_size == MapAnythingGeometryConfig.v1().info_sharing_hidden_size == 768
