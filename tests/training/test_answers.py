"""Text that a language model learns to write beside the actions; its action head does not see it, as in predictions."""

import copy
import json

import numpy as np
import pytest
import torch
from peft import get_peft_model
from transformers import TrainingArguments

import vlahub
from vlahub.configuration.vla_errors import InputError
from vlahub.data import collator_for
from vlahub.training.trainer import VLATrainer

ANSWERS = "the red block is left", "done"
writers = pytest.mark.parametrize("family", ["mapanything_llava3d", "multimodal_vla"], indirect=True)


def examples(answers=ANSWERS):
    random = np.random.RandomState(4)
    found = []
    for text, answer in zip(("Put the red block", "Put it on the tray over there"), answers, strict=True):
        found.append(
            {
                "images": list(random.randint(0, 255, (2, 40, 48, 3), dtype=np.uint8)),
                "text": text,
                "state": random.randn(8).astype(np.float32),
                "actions": random.randn(8, 7).astype(np.float32),
                "time": random.uniform(),
                "noise": random.randn(8, 7).astype(np.float32),
            }
            | ({"answer": answer} if answer is not None else {})
        )
    return found


@pytest.fixture(scope="module")
def setup(family, family_checkpoint):
    """Model and processor of a family; not to be changed."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    return model, family.processor.from_pretrained(family_checkpoint), family


def collated(setup, answers=ANSWERS, learn_text=True):
    model, processor, family = setup
    collator = collator_for(model.config, processor, unnorm_key=family.unnorm_key, learn_text=learn_text)
    return collator(examples(answers))


@writers
def test_labels_are_the_answers_and_the_end_behind_each_prompt(setup):
    batch, plain = collated(setup), collated(setup, learn_text=False)
    tokenizer = setup[1].tokenizer
    end = setup[0].config.eos_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    for row, (labels, answer) in enumerate(zip(batch["labels"], ANSWERS, strict=True)):
        ids = [*tokenizer(answer, add_special_tokens=False)["input_ids"], end]
        assert labels[labels != -100].tolist() == ids
        prompt = plain["input_ids"][row][plain["attention_mask"][row].bool()].tolist()
        assert batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist() == prompt + ids
        assert torch.equal(batch["answer_mask"][row].bool(), labels != -100)
    assert not {"labels", "answer_mask"} & set(plain)


@writers
@pytest.mark.parametrize("known", [5, [5, 6], None])
def test_what_ends_an_answer_ends_what_the_trained_model_writes(setup, known, tmp_path):
    model, processor, family = copy.deepcopy(setup[0]), setup[1], setup[2]
    for learn_text in (False, True):
        model.generation_config.eos_token_id = known
        collator = collator_for(model.config, processor, unnorm_key=family.unnorm_key, learn_text=learn_text)
        arguments = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True, remove_unused_columns=False)
        trainer = VLATrainer(model, arguments, collator, examples())
        before = [] if known is None else [known] if isinstance(known, int) else known
        if not learn_text:
            assert trainer.model.generation_config.eos_token_id == known
        else:
            assert trainer.model.generation_config.eos_token_id == [*before, *collator.end_of_text] != before


@writers
@pytest.mark.parametrize("learn_text", [False, True])
def test_what_ends_an_answer_lies_beside_the_adapter_that_learnt_it(setup, learn_text, tmp_path):
    model, processor, family = copy.deepcopy(setup[0]), setup[1], setup[2]
    model.generation_config.eos_token_id, model.generation_config.temperature = 5, 0.2  # which cannot be saved
    collator = collator_for(model.config, processor, unnorm_key=family.unnorm_key, learn_text=learn_text)
    arguments = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True, remove_unused_columns=False)
    VLATrainer(get_peft_model(model, vlahub.lora_config(model, 2, 4)), arguments, collator, examples()).save_model()
    said = json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"]
    assert said == ([5, *collator.end_of_text] if learn_text else 5) and collator.end_of_text != [5]


@writers
def test_the_head_sees_the_prompt_alone_and_the_text_is_learnt_behind_it(setup):
    model = setup[0]
    plain = collated(setup, learn_text=False)
    wanted = model(**plain).loss
    for answers in (ANSWERS, ("something else entirely", "no")):
        batch = collated(setup, answers)
        output = model(**batch)
        torch.testing.assert_close(output.action_loss, wanted, rtol=1e-5, atol=1e-6)
        text = {name: value for name, value in batch.items() if name not in ("actions", "time", "noise")}
        torch.testing.assert_close(output.lm_loss, model(**text).lm_loss, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(output.loss, output.action_loss + output.lm_loss)
    seen = {name: value for name, value in batch.items() if name != "answer_mask"}
    assert abs(model(**seen).action_loss - wanted) > 1e-4  # without the mask it does see the answer


@writers
def test_examples_without_an_answer_learn_actions_alone(setup):
    model = setup[0]
    both = collated(setup, (ANSWERS[0], None))
    assert (both["labels"][1] == -100).all()
    torch.testing.assert_close(model(**both).action_loss, model(**collated(setup, learn_text=False)).loss)
    none = model(**collated(setup, (None, None)))
    assert none.lm_loss == 0 and none.loss.isfinite()


@writers
def test_both_losses_reach_the_language_model(setup):
    model = copy.deepcopy(setup[0]).train()
    model(**collated(setup)).loss.backward()
    head = model.get_output_embeddings().weight
    assert head.grad is not None and head.grad.abs().max() > 0


@pytest.mark.parametrize("fusion", ["early", "film", "cross_attention", "late"])
@pytest.mark.parametrize("family", ["multimodal_vla"], indirect=True)
def test_no_fusion_lets_the_answer_through(setup, fusion):
    """Neither to the head, nor, through the modulation of vision tokens, to the text that is before a token."""
    config = copy.deepcopy(setup[0].config)
    config.fusion = fusion
    torch.manual_seed(0)
    model = vlahub.MultimodalVLAForActionPrediction(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # what begins as nothing would let nothing through
            parameter.add_(torch.randn_like(parameter) * 0.05)
    wanted = model(**collated(setup, learn_text=False)).loss
    first, second = collated(setup, ("red block", "on")), collated(setup, ("red tray", "the"))
    assert ((first["input_ids"] != second["input_ids"]).sum(dim=1) == 1).all()  # the tokenizer knows these words
    outputs = model(**first), model(**second)
    for output in outputs:
        torch.testing.assert_close(output.action_loss, wanted, rtol=1e-5, atol=1e-6)
    same = (first["input_ids"] == second["input_ids"]).cumprod(dim=1).bool()
    torch.testing.assert_close(outputs[0].logits[same], outputs[1].logits[same], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["cogvla"], indirect=True)
def test_a_family_that_writes_no_other_text_says_so(setup):
    with pytest.raises(InputError, match="learn_text=True: a cogvla writes no text"):
        collated(setup)


@writers
def test_a_mask_of_another_shape_is_refused(setup):
    batch = collated(setup)
    with pytest.raises(InputError, match="answer_mask has shape"):
        setup[0](**{**batch, "answer_mask": batch["answer_mask"][:, 1:]})
