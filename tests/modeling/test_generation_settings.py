"""`model.generation_config` is what its `generate` heeds: set, saved, loaded, and taken over from a part."""

import json

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    SiglipVisionConfig,
    SiglipVisionModel,
)

import vlahub
from tests.tiny_vlms import tiny_vlm

WRITTEN = 7  # the only token that is ever written
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


class Always(LogitsProcessor):
    """Leaves one token to choose."""

    def __init__(self, token):
        self.token = token

    def __call__(self, ids, scores):
        return torch.full_like(scores, -1e9).index_fill(1, torch.tensor([self.token]), 0.0)


def new_tokens(model, token=WRITTEN, **settings):
    """How many are written behind a prompt of three."""
    ids = torch.tensor([[10, 11, 12]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.model_type == "cogvla":
        size = model.config.featurizer_config.image_size
        inputs["pixel_values"] = torch.zeros(1, 6 * model.config.num_images_in_input, size, size)
        inputs["state"] = torch.zeros(1, model.config.state_dim)
    written = model.generate(**inputs, logits_processor=LogitsProcessorList([Always(token)]), **settings)
    return int((written[0] == token).sum())


def test_settings_of_a_model_are_heeded_as_set_and_as_loaded(family, family_checkpoint, tmp_path):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = [WRITTEN + 1]
    model.generation_config.max_new_tokens = 3
    assert new_tokens(model) == 3
    assert new_tokens(model, max_new_tokens=2) == 2
    model.generation_config.eos_token_id = [WRITTEN + 1, WRITTEN]
    assert new_tokens(model) == 1
    model.save_pretrained(tmp_path)
    loaded = family.model.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert loaded.generation_config.max_new_tokens == 3 and new_tokens(loaded) == 1


@pytest.mark.parametrize("kind", ["smolvlm", "gemma3"])
def test_a_composed_model_stops_where_its_vlm_stops(kind, tmp_path):
    config, _ = tiny_vlm(kind)
    vlm = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**{"model_type": kind, **config}))
    written_on(vlm, tmp_path / "vlm")
    make = vlahub.MultimodalVLAForActionPrediction.from_vlm
    check_stops(make(str(tmp_path / "vlm"), action_head="mlp", num_action_bins=8), tmp_path / "composed")


def test_a_composed_model_stops_where_its_language_model_stops(tmp_path):
    written_on(LlamaForCausalLM(LlamaConfig(**SMALL, vocab_size=300)), tmp_path / "text")
    SiglipVisionModel(SiglipVisionConfig(**SMALL, image_size=28, patch_size=14)).save_pretrained(tmp_path / "vision")
    make = vlahub.MultimodalVLAForActionPrediction.from_backbones
    parts = str(tmp_path / "vision"), str(tmp_path / "text")
    check_stops(make(*parts, action_head="mlp", num_action_bins=8), tmp_path / "composed")


def written_on(model, folder):
    """A published language model: it stops at more tokens than its config says, and has a temperature for nothing."""
    model.save_pretrained(folder)
    settings = {"eos_token_id": [2, WRITTEN], "temperature": 0.2, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(settings))


def check_stops(model, folder):
    assert model.generation_config.eos_token_id == [2, WRITTEN] and new_tokens(model.eval()) == 1
    assert model.generation_config.temperature == GenerationConfig().temperature  # 4.57 saves no other one
    model.save_pretrained(folder)
    loaded = type(model).from_pretrained(folder).eval()
    assert loaded.generation_config.eos_token_id == [2, WRITTEN] and new_tokens(loaded) == 1
