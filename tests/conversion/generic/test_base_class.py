"""The class of a base: what its config names, else what transformers has for its kind of config, and nobody's code."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    BertConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    MllamaConfig,
    PretrainedConfig,
)

from vlahub.conversion.generic.base_class import build_base, class_of
from vlahub.errors import ConversionError

LLAMA = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "vocab_size": 8}
LLAMA |= {"num_key_value_heads": 2, "num_hidden_layers": 1}


@pytest.mark.parametrize(
    ("names", "config", "found"),
    [
        (["LlamaModel"], LlamaConfig(), "LlamaModel"),
        (["LlamaModel", "LlamaForCausalLM"], LlamaConfig(), "LlamaModel"),
        (["LlamaForCausalLM"], BertConfig(), "LlamaForCausalLM"),
        (["SomebodysLlama"], LlamaConfig(), None),
        (["LlamaConfig"], LlamaConfig(), None),
        ([], LlamaConfig(), "LlamaForCausalLM"),
        (None, LlavaConfig(), "LlavaForConditionalGeneration"),
        ([], MllamaConfig(), "MllamaForConditionalGeneration"),  # which is a language model, too
        ([], AutoConfig.for_model("siglip_vision_model"), "SiglipVisionModel"),
        ([], PretrainedConfig(), None),
    ],
)
def test_the_class_is_the_named_one_else_that_of_the_most_able_auto_class(names, config, found):
    kind = class_of({"architectures": names} if names is not None else {}, config)
    assert (kind and kind.__name__) == found


def test_a_base_is_built_without_memory(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    base = build_base(tmp_path, LLAMA, ["model.norm.weight"])
    assert isinstance(base.model, LlamaForCausalLM)
    assert {parameter.device.type for parameter in base.model.parameters()} == {"meta"}
    assert base.model.dtype == torch.float32


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "nobodys"},
        {},
        {**LLAMA, "auto_map": {"AutoConfig": "own.Config"}, "model_type": "own"},
        {**LLAMA, "architectures": ["SomebodysLlama"]},
    ],
)
def test_what_no_class_here_can_build_is_none(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("raise SystemExit('somebody\\'s code was run')")
    assert build_base(tmp_path, config, []) is None


def test_more_layers_than_tensors_are_refused(tmp_path):
    config = {**LLAMA, "num_hidden_layers": 1000}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError, match=r"/config\.json says num_hidden_layers=1000, but there are 1 tensors"):
        build_base(tmp_path, config, ["a"])


def test_a_field_that_transformers_refuses_is_named_with_its_file(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise StrictDataclassError("hidden_size is\n  a text")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(ConversionError, match=r"/config\.json cannot be read: hidden_size is a text"):
        build_base(tmp_path, LLAMA, ["a"])
