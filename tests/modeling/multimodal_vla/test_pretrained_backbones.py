"""What is asked for of pretrained backbones, and what stands beside them; nothing is read but configs."""

from types import SimpleNamespace

import pytest
import torch
from tiny_configs import LLAMA, TOWER
from torch import nn
from transformers import AutoConfig, GenerationConfig, SiglipConfig

from vlahub.errors import ConfigError
from vlahub.modeling.multimodal_vla import backbones

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def folders(tmp_path):
    """Of the configs of a SigLIP and of a Llama."""
    siglip = SiglipConfig(vision_config=TOWER, text_config={**SIZES, "vocab_size": 60})
    siglip.save_pretrained(tmp_path / "siglip")
    AutoConfig.for_model(**LLAMA).save_pretrained(tmp_path / "llama")
    return SimpleNamespace(siglip=str(tmp_path / "siglip"), llama=str(tmp_path / "llama"))


@pytest.fixture
def asked(monkeypatch):
    """What was to be read, as (place, arguments)."""
    found = []

    class Asked:
        @staticmethod
        def from_pretrained(place, **options):
            found.append((place, options))
            return SimpleNamespace(config=AutoConfig.for_model(**LLAMA), dtype=torch.bfloat16)

    monkeypatch.setattr(backbones, "text_model_class", lambda config: Asked)
    for name in ("AutoModel", "AutoModelForImageTextToText"):
        monkeypatch.setattr(backbones, name, Asked)
    monkeypatch.setattr(backbones, "floating_dtype", lambda model: model.dtype)
    return found


@pytest.mark.parametrize("count", [0, 3])
def test_a_composed_model_has_one_tower_or_two(folders, count):
    with pytest.raises(ConfigError, match=f"names {count} vision towers; a composed VLA has one or two"):
        backbones.configs_of_backbones([folders.siglip] * count, folders.llama, False)


@pytest.mark.parametrize(("grounding", "first"), [(False, "siglip_vision_model"), (True, "siglip")])
def test_only_the_first_tower_keeps_its_text_tower_and_only_for_grounding(folders, grounding, first):
    found = backbones.configs_of_backbones([folders.siglip] * 2, folders.llama, grounding)
    kinds = [found[name].model_type for name in ("vision_config", "second_vision_config", "text_config")]
    assert kinds == [first, "siglip_vision_model", "llama"]


@pytest.mark.parametrize(
    ("given", "of_text", "of_towers"),
    [
        (None, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float16),
        ("auto", "auto", torch.bfloat16),
    ],
)
def test_parts_are_read_in_the_dtype_and_with_the_arguments_that_were_given(folders, asked, given, of_text, of_towers):
    backbones.load_backbones(
        folders.siglip, folders.llama, given, False, {"device_map": "meta"}, {"action_head": "mlp"}
    )
    (text, options), (tower, others) = asked
    assert (text, options) == (folders.llama, {"dtype": of_text, "device_map": "meta"})
    assert tower == folders.siglip and others["dtype"] == of_towers and set(others) == {"config", "dtype"}


def test_a_vlm_is_read_with_the_arguments_that_were_given(folders, asked, monkeypatch):
    monkeypatch.setattr(backbones, "check_proven", lambda *given: None)
    backbones.load_vlm(folders.llama, None, {"device_map": "meta"})
    assert asked == [(folders.llama, {"dtype": torch.float32, "device_map": "meta"})]


def test_settings_of_writing_are_those_of_the_part_as_they_can_be_saved():
    assert backbones.generation_of(SimpleNamespace(generation_config=None)) is None
    assert backbones.generation_of(SimpleNamespace()) is None
    odd = GenerationConfig(do_sample=False, eos_token_id=[2, 3])
    odd.temperature = 0.5  # which nothing reads without drawing, and transformers does not save
    found = backbones.generation_of(SimpleNamespace(generation_config=odd))
    found.validate(strict=True)
    assert found.eos_token_id == [2, 3]


def test_new_parts_have_the_dtype_of_the_pretrained_one_but_for_buffers():
    model = nn.Module()
    model.backbone, model.head = nn.Linear(2, 2), nn.Linear(2, 2)
    model.head.register_buffer("frequencies", torch.ones(2))
    backbones.put_beside(model, SimpleNamespace(device=torch.device("cpu"), dtype=torch.bfloat16))
    assert model.head.weight.dtype == torch.bfloat16 and model.head.frequencies.dtype == torch.float32
    assert model.backbone.weight.dtype == torch.float32
