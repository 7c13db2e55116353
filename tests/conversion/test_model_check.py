"""Weights are compared with the class of their checkpoint, tensor by tensor, and nothing is left as it was not."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.utils import logging

from vlahub.conversion.model_check import check_against_class, quiet_transformers
from vlahub.conversion.tensors.tensor_source import open_checkpoint
from vlahub.errors import ConversionError


@pytest.fixture
def folder(tmp_path):
    """A model whose parameters are not all called weight or bias."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=28, patch_size=14)).save_pretrained(tmp_path)
    return tmp_path


def found(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    return check_against_class(folder, open_checkpoint(folder, "it"))


def rewrite(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_a_tensor_that_the_class_does_not_have_is_named(folder):
    assert found(folder) == "names and shapes are those of CLIPVisionModel"
    rewrite(folder, lambda weights: weights.update({"vision_model.more.weight": torch.zeros(2)}))
    with pytest.raises(ConversionError, match=r"unexpected tensors: \S*more\.weight") as error:
        found(folder)
    assert "missing" not in str(error.value)


@pytest.mark.parametrize("end", ["class_embedding", "fc1.weight", "fc1.bias"])
def test_integers_are_named_whatever_the_parameter_is_called(folder, end):
    (name,) = (name for name in load_file(folder / "model.safetensors") if name.endswith(end))
    rewrite(folder, lambda weights: weights.update({name: torch.zeros_like(weights[name], dtype=torch.int32)}))
    with pytest.raises(ConversionError, match=f"no floating point numbers, where CLIPVisionModel has them: {name}"):
        found(folder)


UNCOMPARED = {
    "it is quantised": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    r"config.json names no class \(architectures\)": {"architectures": []},
    "'CLIPTextModel' is no model of transformers .* for this config": {"architectures": ["CLIPTextModel"]},
}


@pytest.mark.parametrize("reason", UNCOMPARED)
def test_what_is_compared_with_no_class_says_why(folder, reason):
    assert re.search(f"were not compared with a model: {reason}", found(folder, **UNCOMPARED[reason]))


@pytest.mark.parametrize("shown", [True, False])
def test_transformers_is_as_loud_as_before(shown):
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity(logging.INFO)
        (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
        with pytest.raises(OSError, match="cut off"), quiet_transformers():
            assert logging.get_verbosity() == logging.CRITICAL and not logging.is_progress_bar_enabled()
            raise OSError("cut off")
        assert logging.get_verbosity() == logging.INFO and logging.is_progress_bar_enabled() is shown
    finally:
        logging.set_verbosity(before)
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
