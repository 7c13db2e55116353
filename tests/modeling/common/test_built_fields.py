"""What is changed in the config of a model that is made: the model follows it, or it is refused by its name."""

import copy

import pytest
import torch
from model_variants import FEW_FIRST, VARIANTS
from transformers import PretrainedConfig

from vlahub.configuration.known_fields import KnownFieldsConfig, own_arguments
from vlahub.errors import ConfigError, InputError
from vlahub.modeling.built_fields import built_names

few_first = pytest.mark.parametrize("variant", FEW_FIRST, indirect=True)

# Fields that a model reads when it is made, and tells its parts again before each call.
TOLD_AGAIN = {"time_sampling", "use_time_weight", "prefix_attention", "freeze_vision_tower", "freeze_language_model"}


def another(value):
    """Of the same kind, as far as there is one."""
    if isinstance(value, (bool, int, float)):
        return not value if isinstance(value, bool) else value + 1
    return "another" if value is None or isinstance(value, str) else None


def test_what_a_model_reads_when_it_is_made_is_fixed_or_told_again(variant, monkeypatch):
    config, read = variant.make(), set()
    get = type(config).__getattribute__

    def reading(self, name):
        if self is config:
            read.add(name)
        return get(self, name)

    kind, construct = type(config), variant.kind
    with monkeypatch.context() as patched:
        patched.setattr(kind, "__getattribute__", reading)
        construct(config)
    assert read & set(built_names(kind))
    own = {kind.attribute_map.get(name, name) for name in kind.changeable_fields}
    assert read & own <= TOLD_AGAIN


@few_first
def test_a_field_that_a_model_cannot_follow_is_named_where_it_predicts_and_saves(variant, load, tmp_path):
    model, inputs = load(), variant.prediction()
    asked = 0
    for field in built_names(type(model.config)):
        before = getattr(model.config, field)
        if isinstance(before, PretrainedConfig):
            continue
        changed = dict(before, another=1) if isinstance(before, dict) else another(before)
        setattr(model.config, field, changed)
        word = rf"{field}(\.another)?="
        with pytest.raises((ConfigError, InputError), match=word):
            variant.predict(model, inputs)
        with pytest.raises(ConfigError, match=f"^{word}.* in the config of this model, which was made with"):
            model.save_pretrained(tmp_path)
        setattr(model.config, field, before)
        asked += 1
    assert asked > 5 and not list(tmp_path.iterdir())
    variant.predict(model, inputs)
    model.save_pretrained(tmp_path)


def parts_of(config, path=""):
    """Nested configs by their paths."""
    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            yield f"{path}{name}", value
            yield from parts_of(value, f"{path}{name}.")


@few_first
def test_a_field_of_a_part_that_a_model_cannot_follow_is_named_before_it_is_saved(variant, load, tmp_path):
    model = load()
    for path, part in parts_of(model.config):
        for field in ("hidden_act", "num_attention_heads", "num_hidden_layers", "layer_norm_eps", "rms_norm_eps"):
            if (before := vars(part).get(field)) is None:
                continue
            setattr(part, field, another(before))
            with pytest.raises(ConfigError, match=f"^{path}.{field}="):
                model.save_pretrained(tmp_path)
            setattr(part, field, before)
    assert not list(tmp_path.iterdir())
    model.resize_token_embeddings(model.get_input_embeddings().weight.shape[0])
    model.set_attn_implementation("eager")
    model.config.use_cache = False
    model.save_pretrained(tmp_path)


def fields_of(config):
    """As they are stored."""
    kind = type(config)
    return [name for name in vars(config) if name in {kind.attribute_map.get(w, w) for w in own_arguments(kind)}]


@pytest.mark.parametrize("variant", ["cogvla", "openvla", "llava3d-flow", "llava3d-dit"], indirect=True)
def test_a_field_of_a_part_of_ours_that_a_model_cannot_follow_is_named_where_it_predicts(variant, load):
    model, inputs, wrong = load(), variant.prediction(), []
    for path, part in parts_of(model.config):
        for field in fields_of(part) if isinstance(part, KnownFieldsConfig) else ():
            if f"{path}.{field}" in model.config.changeable_fields or another(before := getattr(part, field)) is None:
                continue
            setattr(part, field, another(before))
            try:
                variant.predict(model, inputs)
                wrong.append(f"{path}.{field}")
            except (ConfigError, InputError) as error:
                wrong += [] if f"{path}.{field}=" in str(error) else [str(error)]
            setattr(part, field, before)
    assert wrong == []


OTHERS = {
    "cogvla-diffusion": {"action_attention": "bidirectional", "num_diffusion_steps": 8, "num_inference_steps": 2},
    "cogvla-discrete": {"n_action_bins": 32, "pad_to_multiple_of": 32, "stop_token_id": 7, "prompt_end_token_id": 8},
    "cogvla": {"language_mean": "padded", "normalization_type": "bounds"},
    "llava3d-flow": {"geometry_normalization": "none", "pixel_range": "unit", "ode_solver": "heun"},
    "llava3d-dit": {"ode_spacing": "cosine", "num_inference_steps": 1},
    "composed-discrete-late": {"num_action_bins": 16, "action_vocab_size": 280, "text_pooling": "mean"},
    "composed-flow": {"text_pooling": "mean", "num_inference_steps": 1, "ode_solver": "heun", "ode_spacing": "cosine"},
    "alpamayo-1.5": {"expert_non_causal_attention": False, "ode_solver": "heun", "ode_spacing": "cosine"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_field_that_a_model_follows_is_that_of_what_it_saves(name, tmp_path):
    variant = VARIANTS[name]
    for field, value in OTHERS[name].items():
        assert field in variant.kind.config_class.changeable_fields or field.startswith(("ode_", "num_inf"))
        model, inputs = variant.model(), variant.prediction()
        training = variant.training() if field == "language_mean" else None
        setattr(model.config, field, copy.deepcopy(value))
        if field == "normalization_type":
            model.config.norm_stats["tiny"]["action"] |= {"min": [-3.0] * 3, "max": [5.0] * 3}
            model.config.norm_stats["tiny"]["proprio"] |= {"min": [-3.0] * 4, "max": [5.0] * 4}
        model.save_pretrained(tmp_path / field)
        again = variant.kind.from_pretrained(tmp_path / field, dtype=torch.float32).eval()
        assert getattr(again.config, field) == value
        found = [one(**training).loss if training else variant.predict(one, inputs) for one in (again, model)]
        torch.testing.assert_close(*found)
