"""All models of the package start, and are loaded, as transformers' own: none counts as code of others (5.x)."""

import importlib
import pkgutil

import pytest
import torch
import transformers
from transformers import PreTrainedModel

import vlahub.modeling
from vlahub.modeling.mapanything_llava3d.llava3d_language_model import LLaVA3DForCausalLMV2


def models():
    """Every class of a model that a file of the layer defines."""
    for file in pkgutil.walk_packages(vlahub.modeling.__path__, "vlahub.modeling."):
        for each in vars(importlib.import_module(file.name)).values():
            if isinstance(each, type) and issubclass(each, PreTrainedModel) and each.__module__ == file.name:
                yield each


@pytest.mark.skipif(transformers.__version__.startswith("4."), reason="4.57 asks all modules for their initial values")
def test_no_model_of_the_package_counts_as_code_of_others():
    found = {each.__name__: each.is_custom_code() for each in models()}
    assert {"LLaVA3DWithActionExpertModel", "LFPLlamaModel", "AlpamayoR1"} <= found.keys()
    assert [name for name, is_custom in found.items() if is_custom] == []


@pytest.mark.parametrize("kind", [transformers.LlamaConfig, transformers.MistralConfig])
def test_a_language_model_that_is_loaded_alone_has_the_buffers_of_the_saved_one(kind, tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LLaVA3DForCausalLMV2(kind(**sizes, num_key_value_heads=1, vocab_size=50)).eval()
    model.save_pretrained(tmp_path)
    again = LLaVA3DForCausalLMV2.from_pretrained(tmp_path, config=model.config, dtype=torch.float32).eval()
    wanted = dict(model.named_buffers())
    assert wanted and all(torch.equal(each, wanted[name]) for name, each in again.named_buffers())
    ids = torch.randint(0, 50, (2, 7))
    assert torch.equal(again(ids).logits, model(ids).logits)
