"""Configuration: what is refused and by which name, what survives being written, what published files say."""

import builtins
import io
import json
import socket
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from vlahub import CogVLAConfig, CogVLAVisionConfig
from vlahub.errors import ConfigError, VLAError

STATISTICS = {"libero": {"action": {"q01": [0.0] * 7, "q99": [1.0] * 7, "mask": [True] * 6 + [False]}}}
DINOV2, SIGLIP = "vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"
PUBLISHED = {
    "model_type": "openvla",
    "use_fused_vision_backbone": True,
    "timm_model_ids": [DINOV2, SIGLIP],
    "image_sizes": [224, 224],
    "text_config": {"model_type": "llama", "vocab_size": 32064, "pad_token_id": 32000},
    "n_action_bins": 256,
    "pad_to_multiple_of": 64,
    "pad_token_id": 32000,
    "norm_stats": STATISTICS,
    "torch_dtype": "bfloat16",
}


def published(**changes):
    return {**PUBLISHED, **changes}


def text_config(**changes):
    return {**PUBLISHED["text_config"], **changes}


# ---- refusals


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"vision_aggregate_type": "sum"}, "^vision_aggregate_type='sum' is unknown; choose from moe, concat"),
        ({"action_head": None}, "^action_head=None is unknown; choose from discrete, l1, diffusion"),
        ({"normalization_type": "q99"}, "^normalization_type='q99' is unknown"),
        ({"action_attention": "open"}, "^action_attention='open' is unknown"),
        ({"language_mean": "mean"}, "^language_mean='mean' is unknown"),
        ({"num_images_in_input": 0}, "^num_images_in_input=0 must be a positive whole number"),
        ({"num_action_chunks": -1}, "^num_action_chunks=-1"),
        ({"action_dim": 7.0}, r"^action_dim=7\.0"),
        ({"num_diffusion_steps": True}, "^num_diffusion_steps=True"),
        ({"num_inference_steps": 0}, "^num_inference_steps=0"),
        ({"num_inference_steps": 1.5}, "^num_inference_steps=1.5"),
        ({"num_diffusion_steps": 5, "num_inference_steps": 6}, "^num_inference_steps=6 .* num_diffusion_steps=5"),
        ({"num_diffusion_steps": 5, "num_diffusion_steps_inference": 6}, "^num_inference_steps=6"),
        ({"n_action_bins": "256"}, "^n_action_bins='256'"),
        ({"proprio_dim": 0}, "^state_dim=0"),
        ({"num_vision_aggr": 0}, "^num_vision_aggr=0"),
        ({"action_attention": "causal", "action_head": "l1"}, "^action_attention='causal'.*action_head='discrete'"),
        ({"lfp_type": "half"}, "^lfp_type 'half' is unknown"),
        ({"lfp_type": "deep_all", "lfp_average_factor": 1.5}, "lfp_average_factor=1.5 keeps 1.500.*layer 2"),
        ({"lfp_type": "deep_all", "lfp_average_factor": -0.1}, "lfp_average_factor=-0.1"),
        ({"lfp_schedule_layers": 1}, "^lfp_schedule_layers=1"),
        ({"text_config": {"num_hidden_layers": 1}}, "^lfp_schedule_layers=1"),
        ({"norm_stats": STATISTICS, "action_dim": 6}, r"^norm_stats\['libero'\]\['action'\]\['q01'\] has 7.*needs 6"),
        ({"norm_stats": STATISTICS, "normalization_type": "bounds"}, r"^norm_stats.*\['min'\] has 0 values"),
        ({"norm_stats": {"empty": {}}}, r"^norm_stats\['empty'\]"),
        ({"norm_stats": {"one": {"action": {**STATISTICS["libero"]["action"], "mask": [True]}}}}, r"\['mask'\] has 1"),
        (
            {"use_aggr": False, "featurizer_config": {"patch_size": 16}},
            "^featurizer_config gives 196 patches and fused_featurizer_config 256",
        ),
        ({"featurizer_config": {"hidden_size": 100}}, "^num_attention_heads=16 does not divide the vision hidden_size"),
        ({"fused_featurizer_config": {"image_size": 13}}, "^patch_size=14 is larger than image_size=13"),
        ({"fused_featurizer_config": {"image_size": 238}}, r"^image_size of the two vision towers is \(224, 238\)"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        CogVLAConfig(**fields)


def test_what_is_refused_is_an_error_of_ours_and_a_value_error():
    with pytest.raises(VLAError) as error:
        CogVLAConfig(action_dim=0)
    assert isinstance(error.value, ValueError)


def test_pruning_fields_do_not_matter_without_pruning():
    config = CogVLAConfig(use_lfp=False, lfp_type="deep_all", lfp_average_factor=7.0)
    assert config.lfp_keep_ratios == {}


def test_towers_with_different_patches_fit_together_by_aggregation_tokens():
    config = CogVLAConfig(featurizer_config={"patch_size": 16}, num_vision_aggr=5, num_images_in_input=3)
    assert config.num_vision_tokens == 15


# ---- what a config says


def test_the_default_is_the_published_model():
    config = CogVLAConfig()
    towers = config.featurizer_config, config.fused_featurizer_config
    assert [(t.hidden_size, t.num_hidden_layers, t.num_patches) for t in towers] == [(1024, 23, 256), (1152, 26, 256)]
    assert (config.text_config.hidden_size, config.text_config.num_hidden_layers) == (4096, 32)
    assert (config.num_vision_tokens, config.num_action_tokens) == (64, 56)
    assert list(config.lfp_keep_ratios) == list(range(8, 32))


def test_a_model_without_aggregation_has_a_token_for_each_patch():
    assert CogVLAConfig(use_aggr=False, num_images_in_input=2).num_vision_tokens == 512


def test_a_new_models_schedule_spans_its_own_depth():
    config = CogVLAConfig(text_config={"num_hidden_layers": 4}, lfp_type="shiftedlinear_decay_0.75_0.15")
    assert config.lfp_schedule_layers == 4
    assert config.lfp_keep_ratios == pytest.approx({1: 2 / 3, 2: 1 / 3, 3: 0.15})


# ---- being written and read


def unusual_config():
    return CogVLAConfig(
        featurizer_config={"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3},
        text_config={"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "vocab_size": 1000},
        vision_aggregate_type="concat",
        use_film=False,
        num_vision_aggr=9,
        lfp_type="interleave",
        lfp_average_factor=0.25,
        lfp_schedule_layers=32,
        num_images_in_input=3,
        action_head="diffusion",
        num_action_chunks=5,
        action_dim=7,
        proprio_dim=11,
        norm_stats={"libero": {**STATISTICS["libero"], "proprio": {"q01": [-1.0] * 11, "q99": [0.5] * 11}}},
        num_diffusion_steps=10,
        action_attention="bidirectional",
        language_mean="padded",
        prompt_end_token_id=77,
        stop_token_id=3,
        pad_token_id=5,
    )


FIELDS = [
    *("vision_aggregate_type", "use_film", "use_aggr", "num_vision_aggr", "use_lfp", "lfp_type", "lfp_average_factor"),
    *("lfp_enable_film", "lfp_schedule_layers", "num_images_in_input", "action_head", "num_action_chunks"),
    *("action_dim", "proprio_dim", "normalization_type", "norm_stats", "n_action_bins", "pad_to_multiple_of"),
    *("num_diffusion_steps", "action_attention", "language_mean", "prompt_end_token_id", "stop_token_id"),
    *("pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings"),
]


def assert_same(first, second):
    assert {name: getattr(first, name) for name in FIELDS} == {name: getattr(second, name) for name in FIELDS}
    for name in ("featurizer_config", "fused_featurizer_config", "text_config"):
        one, two = getattr(first, name), getattr(second, name)
        assert type(one) is type(two)
        assert one.to_dict() == two.to_dict()


@pytest.mark.parametrize("make", [CogVLAConfig, unusual_config])
def test_a_config_survives_a_dict(make):
    config = make()
    as_json = json.loads(json.dumps(config.to_dict()))
    assert_same(CogVLAConfig.from_dict(as_json), config)


@pytest.mark.parametrize("make", [CogVLAConfig, unusual_config])
@pytest.mark.parametrize("reader", [CogVLAConfig, AutoConfig])
def test_a_config_survives_a_file(make, reader, tmp_path):
    config = make()
    config.save_pretrained(tmp_path)
    loaded = reader.from_pretrained(tmp_path)
    assert isinstance(loaded, CogVLAConfig)
    assert_same(loaded, config)


def test_a_dict_given_to_the_constructor_is_not_modified():
    text = {"num_hidden_layers": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}
    before = json.dumps(text)
    CogVLAConfig(text_config=text)
    assert json.dumps(text) == before


def test_a_published_dict_is_not_modified():
    config = published(text_config=text_config(use_lfp=True, lfp_type="deep_all", lfp_average_factor=0.5))
    before = json.dumps(config)
    CogVLAConfig.from_openvla(config)
    assert json.dumps(config) == before


def frequencies(config):
    return LlamaRotaryEmbedding(config.text_config).inv_freq


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 500000.0},
        {"rope_theta": 500000.0, "rope_scaling": None},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    ],
)
def test_a_base_frequency_survives_in_the_form_of_either_transformers_line(rope, tmp_path):
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4}
    config = CogVLAConfig(text_config={**sizes, **rope})
    wanted = 500000.0 ** (-torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(frequencies(config), wanted)
    config.save_pretrained(tmp_path)
    torch.testing.assert_close(frequencies(CogVLAConfig.from_pretrained(tmp_path)), wanted)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 20000.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 20000.0}},
    ],
)
def test_scaled_frequencies_survive_in_the_form_of_either_transformers_line(rope, tmp_path):
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4}
    config = CogVLAConfig(text_config={**sizes, **rope})
    wanted = 20000.0 ** (-torch.arange(0, 16, 2) / 16) / 4
    torch.testing.assert_close(frequencies(config), wanted)
    config.save_pretrained(tmp_path)
    torch.testing.assert_close(frequencies(CogVLAConfig.from_pretrained(tmp_path)), wanted)


# ---- published files


def test_a_plain_openvla_config_has_none_of_cogvlas_parts():
    options = {"action_head": "discrete", "action_attention": "causal", "num_action_chunks": 1}
    config = CogVLAConfig.from_openvla(PUBLISHED, **options)
    assert (config.use_film, config.use_aggr, config.use_lfp) == (False, False, False)
    assert config.vision_aggregate_type == "concat"
    assert config.num_vision_tokens == 256
    assert (config.text_config.vocab_size, config.pad_token_id) == (32064, 32000)
    assert config.norm_stats == STATISTICS
    assert config.dtype == torch.bfloat16
    assert (config.action_head, config.action_attention, config.num_action_chunks) == ("discrete", "causal", 1)


def test_a_cogvla_config_is_read_with_its_schedule_of_32_layers():
    lfp = {"use_lfp": True, "lfp_type": "shiftedlinear_decay_0.75_0.15", "lfp_average_factor": 0.3}
    changes = {"vision_aggregate_type": "moe", "num_vision_aggr": 7, "use_aggr": True, "use_film": True}
    text = text_config(num_hidden_layers=8, **lfp, lfp_enable_film=False)
    config = CogVLAConfig.from_openvla(published(**changes, text_config=text), num_images_in_input=2)
    assert (config.use_film, config.use_aggr, config.use_lfp, config.lfp_enable_film) == (True, True, True, False)
    assert (config.vision_aggregate_type, config.num_vision_tokens) == ("moe", 14)
    assert config.lfp_schedule_layers == 32
    assert config.lfp_keep_ratios == pytest.approx({i: 0.8 - i / 31 for i in range(2, 8)})
    assert not any(name in config.text_config.to_dict() for name in lfp)


def test_published_towers_have_the_sizes_of_their_timm_names():
    config = CogVLAConfig.from_openvla(PUBLISHED)
    defaults = CogVLAConfig()
    for name in ("featurizer_config", "fused_featurizer_config"):
        assert getattr(config, name).to_dict() == getattr(defaults, name).to_dict()


def test_timm_kwargs_override_the_sizes_of_the_towers():
    overrides = [{"embed_dim": 32, "depth": 4, "num_heads": 2}, {"embed_dim": 48, "depth": 5, "num_heads": 2}]
    config = CogVLAConfig.from_openvla(published(timm_kwargs=overrides, image_sizes=[56, 56]))
    first, second = config.featurizer_config, config.fused_featurizer_config
    assert (first.hidden_size, first.num_hidden_layers, first.intermediate_size) == (32, 3, 128)
    assert (second.hidden_size, second.num_hidden_layers, second.intermediate_size) == (48, 4, 179)
    assert (first.num_patches, second.num_patches) == (16, 16)
    assert (first.num_registers, first.has_class_token, first.has_layer_scale) == (4, True, True)
    assert (second.num_registers, second.has_class_token, second.has_layer_scale) == (0, False, False)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "llava"}, "^model_type is 'llava'"),
        ({"model_type": None}, "^model_type is None"),
        ({"use_fused_vision_backbone": False}, "^timm_model_ids is .*fused pair"),
        ({"timm_model_ids": [SIGLIP]}, "^timm_model_ids is .*fused pair"),
        ({"timm_model_ids": None}, "^timm_model_ids is None"),
        (
            {"timm_model_ids": [DINOV2, "clip"]},
            "^timm_model_ids has 'clip'; known are",
        ),
        ({"text_config": {"model_type": "mistral"}}, r"^text_config\.model_type is 'mistral'"),
        ({"vision_aggregate_type": "mean"}, "^vision_aggregate_type='mean' is unknown"),
    ],
)
def test_a_published_config_of_another_kind_is_refused_by_the_field(changes, message):
    with pytest.raises(ConfigError, match=message):
        CogVLAConfig.from_openvla(published(**changes))


# ---- side effects


def test_constructing_touches_neither_network_nor_disk(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"touched {args}")

    for owner, name in ((socket, "socket"), (socket, "getaddrinfo"), (io, "open"), (builtins, "open")):
        monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(AssertionError, match="touched"):
        Path("anything").read_text()
    CogVLAConfig()
    CogVLAConfig.from_openvla(PUBLISHED)
    CogVLAVisionConfig.from_timm(SIGLIP, 224, {})
    CogVLAConfig(text_config=LlamaConfig())


def test_diffusion_steps_have_their_published_names_too(tmp_path):
    steps = {"num_diffusion_steps_train": 50, "num_diffusion_steps_inference": 10}
    config = CogVLAConfig(action_head="diffusion", **steps)
    assert (config.num_diffusion_steps, config.num_inference_steps) == (50, 10)
    config.save_pretrained(tmp_path)
    again = CogVLAConfig.from_pretrained(tmp_path)
    assert (again.num_diffusion_steps_train, again.num_diffusion_steps_inference) == (50, 10)
    assert CogVLAConfig().num_inference_steps is None  # as many as it was trained with
