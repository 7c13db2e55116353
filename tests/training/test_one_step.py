"""One round of every family on the releases that run: a training step, saving, loading, actions and text."""

import warnings

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, TrainingArguments

from vlahub import VLATrainer
from vlahub.training.collators import collator_for

pytestmark = pytest.mark.newest
NEW = "activation_checkpointing"  # the name of transformers 5
CHECKPOINTING = NEW if hasattr(TrainingArguments, NEW) else "gradient_checkpointing"
VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)
PROMPT = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "state")


@pytest.fixture(scope="module")
def stepped(family, family_checkpoint, family_examples, tmp_path_factory):
    """The model after one step, its processor, and the folder that the Trainer wrote."""
    folder = tmp_path_factory.mktemp("stepped")
    processor = family.processor.from_pretrained(family_checkpoint)
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32)
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=1,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        **{CHECKPOINTING: True, f"{CHECKPOINTING}_kwargs": {"use_reentrant": False}},
        remove_unused_columns=False,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    )
    collator = collator_for(model.config, processor, unnorm_key=family.unnorm_key)
    trainer = VLATrainer(model, arguments, data_collator=collator, train_dataset=family_examples)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*past_key_values.*")
        loss = trainer.train().training_loss
    trainer.save_model(folder)
    return model.eval(), processor, folder, loss


def test_a_step_changes_the_model_and_its_loss_is_finite(family, family_checkpoint, stepped):
    model, _, _, loss = stepped
    before = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).state_dict()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert np.isfinite(loss) and len(changed) > len(before) / 4


def test_what_was_saved_predicts_what_the_model_predicts(stepped, family_call):
    model, processor, folder, _ = stepped
    found = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    if hasattr(model, "tokenizer"):
        found.tokenizer = model.tokenizer  # the Trainer was given no processor to save
    torch.testing.assert_close(family_call(found, processor, VIEWS), family_call(model, processor, VIEWS))


@torch.no_grad()
def test_text_is_written_after_a_prompt(family, stepped):
    model, processor, _, _ = stepped
    names = {"np": np}
    exec(family.call, names)
    inputs = {name: value for name, value in names["prepare"](processor, VIEWS).items() if name in PROMPT}
    if family.prefix == "MultimodalVLA":
        inputs.pop("state")  # text needs no state
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*past_key_values.*")
        texts = model.generate(**inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False)
    assert texts.shape[0] == 1 and texts.shape[1] in (2, inputs["input_ids"].shape[1] + 2)
