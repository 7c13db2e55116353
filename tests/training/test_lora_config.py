"""`vlahub.lora_config`: PEFT's adapter folder holds all that was trained, and merging it gives the trained model."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn

import vlahub
from vlahub.conversion.cli import main
from vlahub.errors import InputError

VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)
WRAPPED = (".default", ".modules_to_save")


@pytest.fixture(scope="module")
def trained(family, family_checkpoint):
    """The family's model in PEFT, every trainable weight moved."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    adapted = get_peft_model(model, vlahub.lora_config(model, r=4, lora_alpha=8)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return adapted


def trainable_names(adapted):
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    for part in WRAPPED:
        names = [name.replace(part, "") for name in names]
    return set(names)


def test_the_adapter_folder_holds_every_trainable_parameter_and_merges_to_the_trained_model(
    family, family_checkpoint, family_call, trained, tmp_path
):
    processor = family.processor.from_pretrained(family_checkpoint)
    wanted = family_call(trained.get_base_model(), processor, VIEWS)
    trained.save_pretrained(tmp_path / "adapter")
    saved = set(load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    assert saved == trainable_names(trained) and len(saved) > 50

    sources = ["--base", str(family_checkpoint), "--adapter", str(tmp_path / "adapter")]
    options = ["--output", str(tmp_path / "merged"), "--dtype", "float32", "--quiet"]
    assert main(["merge-lora", *sources, *options]) == 0
    merged = family.model.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    found = family_call(merged, processor, VIEWS)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-5)
    before = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    assert (found - family_call(before, processor, VIEWS)).abs().max() > 0.05


def test_new_parts_train_whole_and_pretrained_ones_by_lora(trained):
    names = trainable_names(trained)
    whole = {name for name in names if "lora_" not in name}
    pretrained = ("backbone.", "geometric_model.", "language_model.", "vision_backbone.", "vision_tower.", "vlm.")
    inside = {n for n in whole if n.removeprefix("base_model.model.").startswith(pretrained)}
    assert all(any(part in name for part in ("film", "aggregation", "router")) for name in inside)
    assert any("q_proj.lora_A" in name for name in names)
    assert not any(name.endswith(("lm_head.weight", "embed_tokens.weight")) for name in names)
    base = {f"base_model.model.{name}" for name, _ in trained.get_base_model().named_parameters()}
    new = {n for n in base if not n.removeprefix("base_model.model.").startswith(pretrained) and "lora_" not in n}
    plain = {name.replace(".original_module", "") for name in new if ".modules_to_save." not in name}
    assert plain <= whole


def test_options_go_to_peft_and_replace_ours(family, family_checkpoint):
    model = family.model.from_pretrained(family_checkpoint)
    config = vlahub.lora_config(model, r=8, lora_alpha=4, lora_dropout=0.1, use_rslora=True, target_modules=["q_proj"])
    assert isinstance(config, LoraConfig)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_rslora) == (8, 4, 0.1, True)
    assert config.target_modules == {"q_proj"}
    assert (vlahub.lora_config(model).r, vlahub.lora_config(model).lora_alpha) == (32, 16)


def test_a_frozen_vision_tower_gets_no_lora():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    siglip = {"model_type": "siglip_vision_model", **sizes, "image_size": 28, "patch_size": 14}
    llama = {"model_type": "llama", **sizes, "vocab_size": 300}
    for frozen in (True, False):
        config = vlahub.MultimodalVLAConfig(vision_config=siglip, text_config=llama, freeze_vision_tower=frozen)
        model = vlahub.MultimodalVLAForActionPrediction(config)
        targets = vlahub.lora_config(model).target_modules
        assert any("vision_tower" in name for name in targets) is not frozen
        assert not any(".head." in name or name.endswith("lm_head") for name in targets)


def test_a_model_without_a_pretrained_part_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    model.config = None
    with pytest.raises(InputError, match="language_model"):
        vlahub.lora_config(model)
