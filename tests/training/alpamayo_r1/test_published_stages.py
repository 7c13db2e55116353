"""The two published stages of Alpamayo-R1's training: the VLM by text, futures as text too, and then the expert."""

import numpy as np
import pytest
import torch

from vlahub import set_stop_gradient, trainable_parameter_groups
from vlahub.data import collator_for
from vlahub.errors import InputError
from vlahub.training.alpamayo_r1 import collator_alpamayo_r1
from vlahub.training.alpamayo_r1.collator_alpamayo_r1 import AlpamayoR1Collator

only = pytest.mark.parametrize("family", ["alpamayo_r1"], indirect=True)
FIRST = {"learn_text": True, "learn_trajectory_text": True, "learn_actions": False}


@pytest.fixture(scope="module")
def model(family, family_checkpoint):
    return family.model.from_pretrained(family_checkpoint, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(family, family_checkpoint):
    return family.processor.from_pretrained(family_checkpoint)


def values_by_hand(model, example):
    """The tokens of a future in words: numpy over the model's own actions."""
    poses = [torch.from_numpy(example[f"ego_{t}_{p}"]).float() for t in ("history", "future") for p in ("xyz", "rot")]
    actions = model.action_space.traj_to_action(*poses).numpy()
    least, greatest = (np.array(model.config.traj_tokenizer_cfg[f"dims_{end}"]) for end in ("min", "max"))
    bins = np.rint((actions - least) / (greatest - least) * 99).clip(0, 99).astype(int)
    return "".join(f"<i{value}>" for value in bins.reshape(-1))


@only
def test_an_answer_is_the_whole_turn_and_its_future_is_counted_apart(model, processor, family_examples):
    batch = collator_for(model.config, processor, **FIRST)(family_examples)
    assert not any("future" in name or name in ("time", "noise") for name in batch)
    tokenizer = processor.tokenizer
    for i, example in enumerate(family_examples):
        history = example["ego_history_xyz"], example["ego_history_rot"]
        prompt = processor(example["images"], *history)["input_ids"][0].tolist()
        reasoning = tokenizer(f"{example.get('reasoning', '')}<|cot_end|>", add_special_tokens=False)["input_ids"]
        future = f"<|traj_future_start|>{values_by_hand(model, example)}<|traj_future_end|>"
        future = tokenizer(future, add_special_tokens=False)["input_ids"]
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        row = prompt + reasoning + future + [end]
        assert len(future) == 130 and batch["input_ids"][i][batch["attention_mask"][i].bool()].tolist() == row
        opening = [prompt[-1], *reasoning] if "reasoning" in example else [-100] * (1 + len(reasoning))
        padding = [-100] * (batch["input_ids"].shape[1] - len(row))
        before = [-100] * (len(prompt) - 1)
        assert tokenizer.decode(prompt[-1]) == "<|cot_start|>"
        assert batch["labels"][i].tolist() == before + opening + [-100] * 130 + [end] + padding
        nothing = [-100] * len(opening)
        assert batch["trajectory_labels"][i].tolist() == before + nothing + future + [-100] + padding


@only
def test_without_learn_text_only_the_future_and_the_end_of_the_turn_are_learnt(model, processor, family_examples):
    """The published default; the reasoning is read all the same."""
    whole = AlpamayoR1Collator(model.config, processor, **FIRST)(family_examples)
    batch = AlpamayoR1Collator(model.config, processor, **{**FIRST, "learn_text": False})(family_examples)
    assert torch.equal(batch["input_ids"], whole["input_ids"])
    assert torch.equal(batch["trajectory_labels"], whole["trajectory_labels"])
    assert (batch["labels"] != -100).sum(dim=1).tolist() == [1, 1]


@only
def test_futures_beyond_what_tokens_say_are_told_of(model, processor, family_examples, monkeypatch):
    said = []
    monkeypatch.setattr(collator_alpamayo_r1.logger, "warning_once", said.append)
    collate = collator_for(model.config, processor, **FIRST)
    collate(family_examples)
    assert said == []
    times, far = 0.1 * np.arange(1, 65), dict(family_examples[0])
    far["ego_future_xyz"] = np.stack([30 * times**2, 0 * times, 0 * times], axis=1)  # 60 m/s^2
    collate([far])
    assert len(said) == 1 and "lie beyond the range of traj_tokenizer_cfg" in said[0]


@only
def test_the_expert_and_the_text_can_learn_together(model, processor, family_examples):
    """What the expert sees ends where the future begins, so its loss is as without the tokens behind."""
    together = collator_for(model.config, processor, learn_text=True, learn_trajectory_text=True)(family_examples)
    expert = collator_for(model.config, processor)(family_examples)
    text = collator_for(model.config, processor, **FIRST)(family_examples)
    with torch.no_grad():
        output, alone = model(**together), model(**text)
        torch.testing.assert_close(output.action_loss, model(**expert).loss)
    torch.testing.assert_close(output.lm_loss + output.trajectory_lm_loss, alone.loss)
    torch.testing.assert_close(output.loss, alone.loss + output.action_loss)
    assert set(model.loss_items(**together)) == {"text", "trajectory", "action"}


@only
def test_predictions_of_a_first_stage_are_those_that_the_vlm_writes(model, processor, family_examples):
    collator = collator_for(model.config, processor, **FIRST)
    errors = collator.prediction_errors(model.eval(), family_examples, torch.device("cpu"))
    batch = processor(
        [e["images"] for e in family_examples],
        *(np.stack([e[f"ego_history_{part}"] for e in family_examples]) for part in ("xyz", "rot")),
    )
    found = model.write_trajectories(**batch, top_k=1).pred_xyz[:, 0, 0]
    future = torch.from_numpy(np.stack([e["ego_future_xyz"] for e in family_examples])).float()
    torch.testing.assert_close(errors, (found - future)[..., :2].norm(dim=-1).mean(dim=-1))


@only
def test_what_cannot_be_learnt_is_refused(model, processor):
    with pytest.raises(InputError, match="learn_actions=False leaves nothing to learn"):
        collator_for(model.config, processor, learn_actions=False)
    with pytest.raises(InputError, match="a alpamayo_r1 does not learn with learn_dreams"):
        collator_for(model.config, processor, learn_dreams=True)


# ---- what trains


@pytest.fixture
def stages(tiny):
    """A model in training mode, and batches of the first stage and of the second."""
    made = tiny("alpamayo_r1", labels=True, stop_grad_from_vlm=True)
    labels = made.batch.pop("labels")
    text = {name: value for name, value in made.batch.items() if name not in ("time", "noise") and "future" not in name}
    return made.model, text | {"labels": labels, "trajectory_labels": labels}, made.batch


def reached(model, batch):
    model.zero_grad()
    model(**batch).loss.backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_first_stage_trains_the_vlm_and_the_second_the_expert(stages):
    model, text, actions = stages
    groups = trainable_parameter_groups(model, "vlm", lr=1e-5)
    assert {group["name"]: group["lr"] for group in groups} == pytest.approx({"backbone": 1e-5, "vision": 1e-6})
    names = {id(p): name for name, p in model.named_parameters()}
    vision = {names[id(p)] for p in groups[1]["params"]}
    assert vision == {name for name in names.values() if ".visual." in name}
    assert trained(model) == {name for name in names.values() if name.startswith("vlm.")}
    assert reached(model, text) == trained(model)
    trainable_parameter_groups(model, "A")
    assert trained(model) == {name for name in names.values() if not name.startswith("vlm.")}
    assert reached(model, actions) == trained(model) and model.config.stop_grad_from_vlm


def test_the_second_stage_without_stop_gradient_reaches_the_vlm_by_actions(stages):
    model, _, actions = stages
    set_stop_gradient(model, False, vlm_trains=True, learns_text=False)
    trainable_parameter_groups(model, "full")
    assert reached(model, actions) == trained(model)
    assert any(name.startswith("vlm.model.visual.") for name in trained(model))
    with pytest.raises(InputError, match="leaves nothing that the VLM could learn from"):
        set_stop_gradient(model, True, vlm_trains=True, learns_text=False)
    set_stop_gradient(model, True, vlm_trains=True, learns_text=True)
    assert model.config.stop_grad_from_vlm


def test_a_family_without_stop_gradient_is_refused(tiny):
    with pytest.raises(InputError, match="stop_grad_from_vlm=True: a cogvla has no such setting"):
        set_stop_gradient(tiny("cogvla").model, True, vlm_trains=False, learns_text=False)
