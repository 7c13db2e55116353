"""Plain quantisation configs: the language model in 4 or 8 bits, all that is new in floating point, on a processor."""

import copy

import numpy as np
import pytest
import torch
from model_variants import VARIANTS
from torch import nn
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, SiglipVisionConfig, SiglipVisionModel

import vlahub
from vlahub.errors import ConfigError
from vlahub.modeling.adapter_loading import HAS_WEIGHT_MAPPING
from vlahub.modeling.model_parts import is_pretrained
from vlahub.modeling.modules import floating_dtype

bnb = pytest.importorskip("bitsandbytes", reason="4-bit loading needs bitsandbytes: pip install 'vlahub[quant]'")

VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)
KINDS = {4: bnb.nn.Linear4bit, 8: bnb.nn.Linear8bitLt}


def test_a_dtype_is_that_of_the_first_floating_weight():
    module = nn.Linear(2, 2, dtype=torch.bfloat16)
    module.weight = nn.Parameter(torch.zeros(2, 1, dtype=torch.uint8), requires_grad=False)
    assert floating_dtype(module) == torch.bfloat16
    assert floating_dtype(nn.Identity()) == torch.get_default_dtype()


@pytest.mark.parametrize("bits", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_plain_config_quantises_the_language_model_alone(family, family_checkpoint, family_call, bits, dtype):
    options = BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    before = copy.deepcopy(options.to_dict())
    model = family.model.from_pretrained(family_checkpoint, quantization_config=options, dtype=dtype)
    assert options.to_dict() == before and model.dtype == dtype
    small = {name for name, module in model.named_modules() if isinstance(module, KINDS[bits])}
    assert len(small) >= 14 and all(is_pretrained(model, name) for name in small)
    new = [p.dtype for name, p in model.named_parameters() if not is_pretrained(model, name)]
    assert set(new) <= {dtype, torch.float32} and dtype in new
    for name in small:  # some processors repack the weights of layers in evaluation mode, where they are larger
        model.get_submodule(name).train()
    actions = family_call(model, family.processor.from_pretrained(family_checkpoint), VIEWS)
    full = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    wanted = family_call(full, family.processor.from_pretrained(family_checkpoint), VIEWS)
    assert actions.isfinite().all() and (actions - wanted).abs().mean() < 0.6 * wanted.std()


def test_what_a_caller_leaves_alone_himself_is_what_is_left_alone(family, family_checkpoint):
    full = family.model.from_pretrained(family_checkpoint)
    kept = [name for name, module in full.named_modules() if module is full.get_output_embeddings()]
    options = BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=kept)
    model = family.model.from_pretrained(family_checkpoint, quantization_config=options, dtype=torch.float32)
    small = {name for name, module in model.named_modules() if isinstance(module, bnb.nn.Linear4bit)}
    assert not small.intersection(kept) and any(not is_pretrained(model, name) for name in small)


@pytest.mark.parametrize("bits", KINDS)
def test_a_part_that_was_quantised_on_its_own_is_not_saved_in_a_whole_model(bits, tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=28, patch_size=14)).save_pretrained(tmp_path / "vision")
    LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=300)).save_pretrained(tmp_path / "text")
    options = {"quantization_config": BitsAndBytesConfig(**{f"load_in_{bits}bit": True})}
    paths = str(tmp_path / "vision"), str(tmp_path / "text")
    model = vlahub.MultimodalVLAForActionPrediction.from_backbones(*paths, text_kwargs=options, action_head="mlp")
    with pytest.raises(ConfigError, match=r"^backbone\.language_model was quantised on its own"):
        model.save_pretrained(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("bits", KINDS)
@pytest.mark.parametrize("name", ["openvla-oft", "llava3d-flow", "composed-flow", "vlm-qwen-mlp", "alpamayo-r1"])
def test_what_was_quantised_at_loading_is_saved_and_predicts_alike_or_is_refused(name, bits, tmp_path):
    """4.57 writes no dtype of the nested configs, 5.x finds no packed weights whose names it changes."""
    variant = VARIANTS[name]
    variant.model().save_pretrained(tmp_path / "full")
    options = {"quantization_config": BitsAndBytesConfig(**{f"load_in_{bits}bit": True}), "dtype": torch.float32}
    model, again = variant.kind.from_pretrained(tmp_path / "full", **options).eval(), tmp_path / "small"
    if variant.family == "mapanything_llava3d" and HAS_WEIGHT_MAPPING:
        with pytest.raises(ConfigError, match=r"language_model.* was quantised at loading, and .* another"):
            model.save_pretrained(again)
        assert not again.exists()
        return
    model.save_pretrained(again)
    found = variant.kind.from_pretrained(again, dtype=torch.float32).eval()
    assert torch.equal(*(variant.predict(each, variant.prediction()) for each in (found, model)))


@pytest.mark.parametrize("name", ["cogvla", "mapanything_llava3d", "multimodal_vla"])
@pytest.mark.parametrize("implementation", ["flash_attention_2", "flash_attention_3"])
def test_flash_attention_is_refused_by_a_family_that_has_none(name, implementation):
    classes = {
        "cogvla": (vlahub.CogVLAForActionPrediction, vlahub.CogVLAConfig),
        "mapanything_llava3d": (
            vlahub.MapAnythingLlava3DForConditionalGeneration,
            vlahub.MapAnythingLlava3DConfig,
        ),
        "multimodal_vla": (vlahub.MultimodalVLAForActionPrediction, vlahub.MultimodalVLAConfig),
    }
    model_class, config_class = classes[name]
    message = rf"attn_implementation='{implementation}' is not possible in a {model_class.__name__}.*'sdpa' or 'eager'"
    with pytest.raises(ConfigError, match=message), torch.device("meta"):
        model_class._from_config(config_class(), attn_implementation=implementation)
