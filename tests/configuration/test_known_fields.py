"""Names that nobody knows are refused where somebody writes them, and kept where a file holds them."""

import copy
import json

import pytest
from transformers import AutoConfig

import vlahub
from vlahub.errors import ConfigError

CONFIGS = {
    "cogvla": vlahub.CogVLAConfig,
    "cogvla_vision": vlahub.CogVLAVisionConfig,
    "mapanything_llava3d": vlahub.MapAnythingLlava3DConfig,
    "mapanything_geometry": vlahub.MapAnythingGeometryConfig,
    "dit_action_head": vlahub.DiTActionHeadConfig,
    "multimodal_vla": vlahub.MultimodalVLAConfig,
    "alpamayo_r1": vlahub.AlpamayoR1Config,
}
NESTED = {
    "cogvla": "featurizer_config",
    "mapanything_llava3d": "geometry_config",
}
PUBLISHED = {
    "model_type": "openvla",
    "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
    "text_config": {"model_type": "llama"},
}


@pytest.mark.parametrize("family", CONFIGS)
def test_a_config_refuses_a_name_that_it_does_not_know(family):
    with pytest.raises(ConfigError, match=rf"{CONFIGS[family].__name__} has no argument chunk_size=8; "):
        CONFIGS[family](chunk_size=8)


def test_what_is_spelled_alike_is_offered():
    with pytest.raises(ConfigError, match="num_action_chunk=8; did you mean num_action_chunks"):
        vlahub.CogVLAConfig(num_action_chunk=8)


@pytest.mark.parametrize("family", NESTED)
def test_a_nested_dict_is_checked_too(family):
    with pytest.raises(ConfigError, match="has no argument hiden_size=64; did you mean hidden_size"):
        CONFIGS[family](**{NESTED[family]: {"hiden_size": 64}})


BUILDERS = {
    "from_backbones": lambda: vlahub.MultimodalVLAForActionPrediction.from_backbones("no", "where", chunk_size=8),
    "from_vlm": lambda: vlahub.MultimodalVLAForActionPrediction.from_vlm("nowhere", chunk_size=8),
    "from_openvla": lambda: vlahub.CogVLAConfig.from_openvla(PUBLISHED, chunk_size=8),
    "geometry": lambda: vlahub.MapAnythingGeometryConfig.v1(chunk_size=8),
    "from_prismatic": lambda: vlahub.CogVLAImageProcessor.from_prismatic({}, chunk_size=8),
    "for_config": lambda: vlahub.MultimodalVLAProcessor.for_config(vlahub.MultimodalVLAConfig(), None, chunk_size=8),
}


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_builder_refuses_it_before_it_reads_anything(builder):
    with pytest.raises(ConfigError, match="has no argument chunk_size=8"):
        BUILDERS[builder]()


@pytest.mark.parametrize("family", CONFIGS)
def test_what_transformers_takes_passes(family):
    fields = {
        "use_cache": True,
        "dtype": "bfloat16",
        "architectures": ["A"],
        "transformers_version": "9",
        "_name_or_path": "x",
    }
    config = CONFIGS[family](**fields, output_hidden_states=True, id2label={0: "a"}, problem_type=None)
    assert str(config.dtype).endswith("bfloat16") and config.architectures == ["A"]


WHOLE = ["cogvla", "mapanything_llava3d", "multimodal_vla", "alpamayo_r1"]
CHANGES = {
    "a size": {"num_action_chunks": 0},
    "a choice": {"fast_prediction": {"mode": "faster"}},
    "a dtype": {"dtype": "bflot16"},
    "an older word": {"torch_dtype": "fp16"},
}


@pytest.mark.parametrize(
    ("family", "change"),
    [(family, change) for family in WHOLE for change in CHANGES if (family, change) != ("alpamayo_r1", "a size")],
)
def test_what_takes_the_place_of_a_files_is_checked_where_it_is_read(family, change, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    (name,) = CHANGES[change]
    for kind in (CONFIGS[family], AutoConfig):
        with pytest.raises(ConfigError, match=name):
            kind.from_pretrained(tmp_path, **CHANGES[change])


UNREAD = {"use_flm": True, "num_action_chunk": 3, "norm_stat": {}, "of_nobody": None}


@pytest.mark.parametrize("kind", ["class", "Auto"])
@pytest.mark.parametrize("word", UNREAD)
@pytest.mark.parametrize("family", WHOLE)
def test_a_word_of_from_pretrained_that_nothing_reads_is_refused(family, word, kind, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    kind = CONFIGS[family] if kind == "class" else AutoConfig
    with pytest.raises(ConfigError, match=f"from_pretrained has no argument {word}="):
        kind.from_pretrained(tmp_path, **{word: UNREAD[word]})
    config, rest = kind.from_pretrained(tmp_path, return_unused_kwargs=True, **{word: UNREAD[word]})
    assert (rest, type(config)) == ({word: UNREAD[word]}, CONFIGS[family])


@pytest.mark.parametrize("family", WHOLE)
def test_words_of_loaders_pass_and_those_of_tokenizers_by_auto_classes(family, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    for kind in (CONFIGS[family], AutoConfig):
        assert type(kind.from_pretrained(tmp_path, device_map="cpu", mirror="x", subfolder="")) is CONFIGS[family]
    assert type(AutoConfig.from_pretrained(tmp_path, truncation_side="left", pad_token="<p>")) is CONFIGS[family]


@pytest.mark.parametrize("kind", ["class", "Auto"])
@pytest.mark.parametrize("family", WHOLE)
def test_words_of_models_that_pipelines_bring_pass(family, kind, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    kind = CONFIGS[family] if kind == "class" else AutoConfig
    words = {"low_cpu_mem_usage": True, "use_safetensors": True, "max_memory": {"cpu": "1GB"}, "variant": None}
    words |= {"quantization_config": {"load_in_8bit": True}, "offload_folder": "x", "attn_implementation": "eager"}
    config = kind.from_pretrained(tmp_path, **words)
    assert config._attn_implementation == "eager" and not hasattr(config, "low_cpu_mem_usage")
    assert not hasattr(config, "quantization_config")


@pytest.mark.parametrize("family", WHOLE)
def test_attention_of_a_part_that_there_is_not_is_refused(family, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    part = "vlm_config" if family == "alpamayo_r1" else "text_config"
    config = CONFIGS[family].from_pretrained(tmp_path, attn_implementation={part: "eager", "": "sdpa"})
    assert (config._attn_implementation, getattr(config, part)._attn_implementation) == ("sdpa", "eager")
    with pytest.raises(ConfigError, match=f"names 'nonsense'; the parts of a .*'{part}'"):
        CONFIGS[family].from_pretrained(tmp_path, attn_implementation={"nonsense": "eager"})


@pytest.mark.parametrize("family", WHOLE[:3])
def test_statistics_that_json_has_not_are_not_saved(family, tmp_path):
    config = CONFIGS[family]()
    config.norm_stats = {"a": {"action": {"q01": [0.0], "q99": [float("inf")]}}}
    with pytest.raises(ConfigError, match=r"norm_stats\['a'\]\['action'\]\['q99'\]"):
        config.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", WHOLE)
def test_a_file_may_hold_fields_of_another_release(family, tmp_path):
    CONFIGS[family]().save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    content["a_field_of_later"] = {"deep": [1]}
    if family in NESTED:
        content[NESTED[family]]["another_of_later"] = 3
    before = copy.deepcopy(content)
    (tmp_path / "config.json").write_text(json.dumps(content))
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.a_field_of_later == {"deep": [1]} and content == before
    if family in NESTED:
        assert getattr(config, NESTED[family]).another_of_later == 3
    config.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["a_field_of_later"] == {"deep": [1]}
