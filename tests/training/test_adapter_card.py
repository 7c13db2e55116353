"""Folders of adapters and of saved models have a true card, and one that was edited stays."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.utils import filter_repo_objects
from peft import get_peft_model
from transformers import Trainer, TrainingArguments

import vlahub
from vlahub.configuration.checkpoint_card import is_unedited

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
STATISTICS = {"kitchen": {"action": {"q01": [-1.0] * 7, "q99": [2.0] * 7}}}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A composed model on disk; not to be changed."""
    folder = tmp_path_factory.mktemp("composed") / "my-base"
    config = vlahub.MultimodalVLAConfig(
        vision_config={"model_type": "siglip_vision_model", **SIZES, "image_size": 28, "patch_size": 14},
        text_config={"model_type": "gemma", **SIZES, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300},
        norm_stats=STATISTICS,
    )
    torch.manual_seed(0)
    vlahub.MultimodalVLAForActionPrediction(config).save_pretrained(folder)
    return folder


@pytest.fixture
def adapted(base):
    model = vlahub.MultimodalVLAForActionPrediction.from_pretrained(base)
    return get_peft_model(model, vlahub.lora_config(model, r=3, lora_alpha=5))


def trainer_of(model, folder):
    arguments = TrainingArguments(str(folder), report_to="none", use_cpu=True, remove_unused_columns=False)
    return vlahub.VLATrainer(model, arguments)


def test_the_trainer_leaves_a_card_that_says_what_the_adapter_is(base, adapted, tmp_path):
    trainer = trainer_of(adapted, tmp_path)
    layers = sum(name.endswith("lora_A.default.weight") for name, _ in adapted.named_parameters())
    assert layers > len(adapted.peft_config["default"].target_modules)  # of which PEFT keeps the ends of the names
    for _ in range(2):  # PEFT adds to what it finds
        trainer.save_model()
        text = (tmp_path / "README.md").read_text()
        card = ModelCard(text)
        assert card.data.library_name == "peft" and card.data.pipeline_tag == "robotics"
        assert {"lora", "multimodal_vla"} <= set(card.data.tags)
        for fact in (
            "merge-lora --base my-base",
            f"rank 3, alpha 5, {layers} layers",
            "`action_head.",
            "MultimodalVLAForActionPrediction",
            'AutoModelForImageTextToText.from_pretrained("FOLDER", trust_remote_code=True)',
        ):
            assert fact in text, fact
        assert "More Information Needed" not in text and str(base.parent) not in text and is_unedited(text)


def test_only_the_process_that_writes_the_adapter_writes_its_card(adapted, tmp_path, monkeypatch):
    """transformers 5.23 calls `_save` in every process; the others would find no README.md, or half of one."""
    monkeypatch.setattr(TrainingArguments, "should_save", False)
    trainer_of(adapted, tmp_path / "run").save_model()
    assert not (tmp_path / "run").exists()


def test_a_card_that_was_edited_stays(adapted, tmp_path):
    trainer = trainer_of(adapted, tmp_path)
    trainer.save_model()
    edited = (tmp_path / "README.md").read_text().replace("# An adapter", "# My adapter")
    (tmp_path / "README.md").write_text(edited)
    trainer.save_model()
    assert "# My adapter" in (tmp_path / "README.md").read_text()


def test_pefts_empty_card_is_replaced(adapted, tmp_path):
    adapted.save_pretrained(tmp_path)
    assert "More Information Needed" in (tmp_path / "README.md").read_text()
    trainer_of(adapted, tmp_path).save_model()
    assert "rank 3, alpha 5" in (tmp_path / "README.md").read_text()


def test_an_adapter_that_was_put_aside_is_pushed_nowhere(base, adapted, tmp_path, monkeypatch):
    """By the Trainer's own rule of what it uploads."""
    pushed = []
    monkeypatch.setattr(Trainer, "init_hf_repo", lambda self, **_: setattr(self, "hub_model_id", "you/run"))

    def push(*_, folder_path, ignore_patterns, **__):
        files = [str(path.relative_to(folder_path)) for path in Path(folder_path).rglob("*") if path.is_file()]
        pushed.extend(filter_repo_objects(files, ignore_patterns=ignore_patterns))

    monkeypatch.setattr(HfApi, "upload_folder", push)
    monkeypatch.setattr("transformers.trainer.upload_folder", push, raising=False)  # of 4.57
    monkeypatch.setattr(HfApi, "list_repo_files", lambda self, name, revision=None: ["README.md"])
    trainer_of(adapted, tmp_path).save_model()
    trainer_of(vlahub.MultimodalVLAForActionPrediction.from_pretrained(base), tmp_path).push_to_hub()
    assert "model.safetensors" in pushed and not [name for name in pushed if name.startswith("adapter_model")]
    [kept] = tmp_path.rglob("adapter_model.safetensors")
    assert not [name for name in pushed if kept.parent.name in name]


def test_a_saved_model_has_a_card_that_follows_its_config(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "copy")
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "robotics" and '    unnorm_key="kitchen",' in card.text
    for fact in ("| vision tower | `siglip_vision_model`, ", "| fusion | `early` |", "predict_action", "(batch, 8, 7)"):
        assert fact in card.text, fact
    with_licence = card.content.replace("library_name", "license: mit\nlibrary_name")
    (folder / "README.md").write_text(with_licence)  # edited
    model = vlahub.MultimodalVLAForActionPrediction.from_pretrained(folder)
    model.config.norm_stats = {"garden": STATISTICS["kitchen"]}
    model.save_pretrained(folder)
    assert (folder / "README.md").read_text() == with_licence
    (folder / "README.md").write_text(card.content)
    model.save_pretrained(folder)
    text = (folder / "README.md").read_text()
    assert '    unnorm_key="garden",' in text and "kitchen" not in text
