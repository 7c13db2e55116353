"""Collators: what a model trains on is what its processor shows it in predictions, with the answers appended."""

import copy
import inspect
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image, ImageOps

import vlahub
from vlahub.configuration.vla_errors import InputError
from vlahub.data import apply_norm_stats
from vlahub.training.collator_robot import RobotCollator
from vlahub.training.collators import (
    AlpamayoR1Collator,
    CogVLACollator,
    MapAnythingLlava3DCollator,
    MultimodalVLACollator,
    collator_for,
)

TEXTS = "Put the red block", "Put the red block on the tray"
COLLATORS = {
    "cogvla": CogVLACollator,
    "mapanything_llava3d": MapAnythingLlava3DCollator,
    "multimodal_vla": MultimodalVLACollator,
    "alpamayo_r1": AlpamayoR1Collator,
}


def only(*names):
    """Run a test with some families instead of all."""
    return pytest.mark.parametrize("family", names, indirect=True)


robots = only("cogvla", "mapanything_llava3d", "multimodal_vla")


def robot_examples():
    """Two examples with different instructions and the same flow-matching time."""
    random = np.random.RandomState(0)
    return [
        {
            "images": list(random.randint(0, 255, (2, 40, 48, 3), dtype=np.uint8)),
            "text": text,
            "state": random.randn(8).astype(np.float32),
            "actions": random.randn(8, 7).astype(np.float32),
            "time": 0.3,
            "noise": random.randn(8, 7).astype(np.float32),
        }
        for text in TEXTS
    ]


def driving_examples():
    """Two cars straight ahead at constant speed, one of them with reasoning."""
    random, ahead = np.random.RandomState(0), np.tile(np.eye(3, dtype=np.float32), (80, 1, 1))
    examples = []
    for speed, reasoning in ((8.0, {"reasoning": "keep left"}), (5.0, {})):
        along = speed * 0.1 * np.arange(-15, 65)
        xyz = np.stack([along, 0 * along, 0 * along], axis=1)
        paths = {"ego_history_xyz": xyz[:16], "ego_history_rot": ahead[:16]}
        paths |= {"ego_future_xyz": xyz[16:], "ego_future_rot": ahead[16:]}
        images = [Image.fromarray(i) for i in random.randint(0, 255, (4, 64, 64, 3), dtype=np.uint8)]
        examples.append({"images": images, **paths, **reasoning, "time": 0.7, "noise": random.randn(64, 2)})
    return examples


@pytest.fixture(scope="module")
def setup(family, family_checkpoint):
    """Model, processor, collator and two examples of a family; not to be changed."""
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    processor = family.processor.from_pretrained(family_checkpoint)
    collator = collator_for(model.config, processor, unnorm_key=family.unnorm_key)
    examples = robot_examples() if family.unnorm_key else driving_examples()
    return SimpleNamespace(model=model, processor=processor, collator=collator, examples=examples)


@pytest.fixture
def cogvla(setup):
    """`cogvla(**fields)` -> the tiny model with other fields of its config, and its collator."""

    def make(**fields):
        config = copy.deepcopy(setup.model.config)
        for name, value in fields.items():
            setattr(config, name, value)
        torch.manual_seed(0)
        return vlahub.CogVLAForActionPrediction(config).eval(), CogVLACollator(config, setup.processor)

    return make


def normalized(actions, statistics):
    """Numpy's word for it, by 1st and 99th percentile; what the mask leaves out passes."""
    low, high = np.array(statistics["q01"]), np.array(statistics["q99"])
    scaled = np.clip(2 * (actions - low) / (high - low) - 1, -1, 1)
    return np.where(statistics.get("mask", [True] * len(low)), scaled, actions)


# ---- all families


def test_a_batch_trains_and_its_loss_is_the_mean_of_its_examples(setup):
    output = setup.model(**setup.collator(setup.examples))
    output.loss.backward()
    grown = [p.grad.abs().max() for p in setup.model.parameters() if p.grad is not None]
    setup.model.zero_grad()
    assert output.loss.isfinite() and torch.equal(output.loss, output.action_loss)
    assert torch.stack(grown).isfinite().all() and sum(value > 0 for value in grown) > 30
    with torch.no_grad():
        single = [setup.model(**setup.collator([example])).loss for example in setup.examples]
    assert abs(single[0] - single[1]) > 1e-4
    torch.testing.assert_close(output.loss.detach(), torch.stack(single).mean(), rtol=1e-5, atol=1e-6)


def test_a_sample_does_not_depend_on_the_others_but_for_padding_on_the_right(setup):
    batch = setup.collator(setup.examples)
    singles = [setup.collator([example]) for example in setup.examples]
    lengths = [single["input_ids"].shape[1] for single in singles]
    assert lengths[0] != lengths[1] and batch["attention_mask"].sum(dim=1).tolist() == lengths
    for name in ("input_ids", "attention_mask", *(["labels"] if "labels" in batch else [])):
        for row, single, length in zip(batch[name], singles, lengths, strict=True):
            assert torch.equal(row[:length], single[name][0])
    for row, length in zip(batch["attention_mask"], lengths, strict=True):
        assert row[:length].all() and not row[length:].any()
    for name in batch.keys() - {"input_ids", "attention_mask", "labels"}:
        assert torch.equal(batch[name], torch.cat([single[name] for single in singles])), name


def test_batches_hold_arguments_of_forward_and_survive_a_worker(setup, family):
    assert type(setup.collator) is COLLATORS[setup.model.config.model_type]
    collator = pickle.loads(pickle.dumps(setup.collator))
    first, second = setup.collator(setup.examples), collator(setup.examples)
    assert all(torch.equal(first[name], second[name]) for name in first.keys() | second.keys())
    assert set(family.inputs) <= set(first) <= set(inspect.signature(family.model.forward).parameters)


@robots
def test_actions_are_normalised_as_predictions_are_unnormalised(setup, family):
    statistics = setup.model.config.norm_stats[family.unnorm_key]["action"]
    found = setup.collator(setup.examples)["actions"]
    wanted = normalized(np.stack([example["actions"] for example in setup.examples]), statistics)
    assert found.dtype == torch.float32 and (np.abs(wanted) < 1).any()
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6)


def test_every_view_is_augmented(setup, family):
    collator = collator_for(setup.model.config, setup.processor, ImageOps.mirror, family.unnorm_key)
    changed = []
    for example in setup.examples:
        changed.append({**example, "images": [np.asarray(image)[:, ::-1].copy() for image in example["images"]]})
    assert torch.equal(collator(setup.examples)["pixel_values"], setup.collator(changed)["pixel_values"])


@robots
def test_views_may_have_names(setup, family):
    named = [{**e, "images": dict(zip(("wrist", "primary"), e["images"][::-1], strict=True))} for e in setup.examples]
    mirrored = collator_for(setup.model.config, setup.processor, ImageOps.mirror, family.unnorm_key)
    for collator in (setup.collator, mirrored):
        assert torch.equal(collator(named)["pixel_values"], collator(setup.examples)["pixel_values"])


@robots
def test_examples_of_several_datasets_are_each_normalised_by_their_own_statistics(setup, family):
    """A batch of two keys is the batches of one key each, and an example's key wins over the collator's."""
    first = setup.model.config.norm_stats[family.unnorm_key]
    parts = [part for part in first if isinstance(first[part], dict)]
    bounds = [name for name in ("q01", "q99", "min", "max") if name in first["action"]]
    wider = {part: {name: [2 * value + 0.5 for value in first[part][name]] for name in bounds} for part in parts}
    second = {part: {**first[part], **wider[part]} for part in parts}
    config, processor = copy.deepcopy(setup.model.config), copy.deepcopy(setup.processor)
    apply_norm_stats(config, processor, {"a": first, "b": second})
    mixed = collator_for(config, processor)
    keyed = [{**e, "unnorm_key": key} for e, key in zip(setup.examples, "ab", strict=True)]
    singles = [
        collator_for(config, processor, unnorm_key=key)([e]) for e, key in zip(setup.examples, "ab", strict=True)
    ]
    batch = mixed(keyed)
    for name in ("actions", "state"):
        assert torch.equal(batch[name], torch.cat([single[name] for single in singles])), name
        assert not torch.equal(batch[name][1:], mixed([{**keyed[1], "unnorm_key": "a"}])[name])
    assert torch.equal(collator_for(config, processor, unnorm_key="b")(keyed)["actions"], batch["actions"])
    with pytest.raises(InputError, match="choices: a, b"):
        mixed(setup.examples)
    with pytest.raises(InputError, match="unnorm_key='c' is unknown"):
        mixed([{**keyed[0], "unnorm_key": "c"}])


@robots
def test_unmasked_actions_are_learnt_as_they_are(setup, family):
    config = copy.deepcopy(setup.model.config)
    statistics = config.norm_stats[family.unnorm_key]["action"]
    statistics["mask"] = [True] * 6 + [False]
    collator = collator_for(config, setup.processor, unnorm_key=family.unnorm_key)
    examples = [{**e, "actions": np.full((8, 7), 100.0)} for e in setup.examples]
    found = collator(examples)["actions"]
    assert (found[..., :6] == 1).all() and (found[..., 6] == 100).all()


@robots
def test_predictions_of_several_datasets_are_those_of_their_rows(setup, family):
    """With rows of two keys one behind the other in turn; noise goes with its row."""
    config, model = setup.model.config, setup.model
    both = dict.fromkeys("ab", config.norm_stats[family.unnorm_key])
    config, processor = copy.deepcopy(config), copy.deepcopy(setup.processor)
    apply_norm_stats(config, processor, both)
    collator = collator_for(config, processor)
    first, second = ({**example, "unnorm_key": "a"} for example in setup.examples)
    examples = [first, {**second, "unnorm_key": "b"}, second]
    noise = torch.randn(3, 8, 7, generator=torch.Generator().manual_seed(0))
    before, model.config.norm_stats = model.config.norm_stats, both
    try:
        found = collator.predicted(model, examples, torch.device("cpu"), noise)
        for row, example in enumerate(examples):
            alone = collator.predicted(model, [example], torch.device("cpu"), noise[row : row + 1])
            torch.testing.assert_close(found[row : row + 1], alone, atol=1e-4, rtol=1e-4)
    finally:
        model.config.norm_stats = before


def test_draws_are_given_for_all_of_a_batch_or_for_none(setup, family):
    without = [{k: v for k, v in e.items() if k not in ("time", "noise")} for e in setup.examples]
    batch = setup.collator(without)
    assert not {"time", "noise"} & set(batch)
    if family.prefix == "CogVLA":
        return  # its l1 head draws nothing
    assert torch.equal(setup.collator(setup.examples)["time"], torch.tensor([setup.examples[0]["time"]] * 2))
    with pytest.raises(InputError, match=r"examples\[1\] has no 'noise', but others"):
        setup.collator([setup.examples[0], {**without[1], "time": 0.5}])
    with pytest.raises(InputError, match=r"examples\[1\]\['time'\] is 12"):
        setup.collator([setup.examples[0], {**setup.examples[1], "time": 12.0}])


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_takes_it_as_its_data_collator(setup, tmp_path):
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "use_cpu": True, "logging_steps": 1}
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=1, per_device_train_batch_size=2, remove_unused_columns=False, **quiet
    )
    model = copy.deepcopy(setup.model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    trainer = transformers.Trainer(model, arguments, data_collator=setup.collator, train_dataset=setup.examples)
    with torch.no_grad():
        loss = setup.model(**setup.collator(setup.examples)).loss.item()
    assert trainer.train().training_loss == pytest.approx(loss, rel=1e-4)


# ---- CogVLA


@only("cogvla")
def test_cogvla_rows_are_prompt_actions_and_stop_token(setup):
    config, tokenizer = setup.model.config, setup.processor.tokenizer
    batch = setup.collator(setup.examples)
    statistics = config.norm_stats["demo_tabletop"]["action"]
    edges = np.linspace(-1, 1, 256)
    for i, (text, example) in enumerate(zip(TEXTS, setup.examples, strict=True)):
        prompt = tokenizer(f"In: What action should the robot take to {text.lower()}?\nOut:")["input_ids"]
        values = normalized(example["actions"], statistics)
        tokens = [32000 - max(int((edges <= value).sum()), 1) for step in values for value in step]
        row = [*prompt, config.prompt_end_token_id, *tokens, config.stop_token_id]
        padding = batch["input_ids"].shape[1] - len(row)
        assert batch["input_ids"][i].tolist() == row + [tokenizer.pad_token_id] * padding
        assert batch["labels"][i].tolist() == [-100] * (len(prompt) + 1) + [*tokens, 2] + [-100] * padding


@only("cogvla")
def test_cogvla_predicts_from_the_prompt_that_it_trained_on(setup, monkeypatch):
    seen = {}
    prepare = setup.model.action_inputs
    monkeypatch.setattr(
        setup.model, "action_inputs", lambda given, s, *rest: seen.update(s=s) or prepare(given, s, *rest)
    )
    images, states = ([example[name] for example in setup.examples] for name in ("images", "state"))
    setup.model.predict_action(**setup.processor(images, list(TEXTS), state=np.stack(states)))
    batch = setup.collator(setup.examples)
    for row, end, ids, labels in zip(
        seen["s"].input_ids, seen["s"].last_prompt, batch["input_ids"], batch["labels"], strict=True
    ):
        first = int((labels != -100).int().argmax())
        assert row[: end + 1].tolist() == ids[:first].tolist()


@only("cogvla")
def test_cogvla_losses_are_those_made_by_hand(setup, cogvla):
    batch = setup.collator(setup.examples)
    with torch.no_grad():
        l1 = setup.model(**batch)
        discrete, collator = cogvla(action_head="discrete")
        tokens = discrete(**collator(setup.examples))
    by_hand = (l1.predictions - batch["actions"]).abs().mean()
    torch.testing.assert_close(l1.loss, by_hand)
    assert "actions" not in collator(setup.examples)
    answers = [row[row != -100] for row in collator(setup.examples)["labels"]]
    by_hand = [-row.softmax(-1)[range(57), ids].log() for row, ids in zip(tokens.logits, answers, strict=True)]
    torch.testing.assert_close(tokens.loss, torch.stack(by_hand).mean())


@only("cogvla")
def test_cogvla_diffusion_takes_noise_and_timesteps(setup, cogvla):
    model, collator = cogvla(action_head="diffusion", num_diffusion_steps=5)
    examples = [{**example, "timesteps": step} for example, step in zip(setup.examples, (0, 3), strict=True)]
    batch = collator(examples)
    assert torch.equal(batch["timesteps"], torch.tensor([0, 3])) and "time" not in batch
    with torch.no_grad():
        single = [model(**collator([example])).loss for example in examples]
        torch.testing.assert_close(model(**batch).loss, torch.stack(single).mean(), rtol=1e-5, atol=1e-6)
    for step, words in ((5, "is 5; 0 to 4"), (1.5, "whole numbers")):
        with pytest.raises(InputError, match=words):
            collator([{**examples[0], "timesteps": step}])


@only("cogvla")
def test_a_prompt_that_ends_as_it_should_gets_no_second_end(setup):
    config = copy.deepcopy(setup.model.config)
    config.prompt_end_token_id = setup.processor.tokenizer(":", add_special_tokens=False)["input_ids"][-1]
    batch = CogVLACollator(config, setup.processor)(setup.examples)
    assert batch["attention_mask"].sum(dim=1).tolist() == [
        length - 1 for length in setup.collator(setup.examples)["attention_mask"].sum(dim=1).tolist()
    ]


@only("cogvla")
@pytest.mark.parametrize("setting", [True, False])
def test_the_centre_crop_is_the_processors_unless_images_are_augmented(setup, setting):
    processor = copy.deepcopy(setup.processor)
    processor.image_processor.center_crop = setting
    images = [example["images"] for example in setup.examples]
    for augment, crop in ((None, setting), (lambda image: image, False)):
        found = CogVLACollator(setup.model.config, processor, augment)(setup.examples)["pixel_values"]
        assert torch.equal(found, processor.image_processor(images, center_crop=crop, return_tensors="pt").pixel_values)


# ---- LLaVA-3D without an expert


@pytest.fixture
def writer(setup):
    """A LLaVA-3D that writes action tokens: config and processor."""
    settings = {"translation": {"theta_bins": 3, "phi_bins": 2, "r_bins": 2}, "gripper": 2}
    settings["rotation"] = {"roll_bins": 2, "pitch_bins": 3, "yaw_bins": 2}
    config = copy.deepcopy(setup.model.config)
    config.action_expert_type, config.use_state = None, False
    processor = vlahub.MapAnythingLlava3DProcessor(
        setup.processor.image_processor,
        copy.deepcopy(setup.processor.tokenizer),
        norm_stats=config.norm_stats,
        action_token_config={"num_bins": settings},
    )
    return config, processor


@only("mapanything_llava3d")
def test_action_tokens_follow_the_text_and_they_alone_are_learned(setup, writer):
    config, processor = writer
    torch.manual_seed(0)
    model = vlahub.MapAnythingLlava3DForConditionalGeneration(config).eval()
    collator = collator_for(config, processor)
    batch = collator(setup.examples)
    assert not {"actions", "state", "time", "noise"} & set(batch)  # it neither reads nor draws them
    values = normalized(np.stack([e["actions"] for e in setup.examples]), config.norm_stats["demo_tabletop"]["action"])
    for ids, mask, labels, example, chunk in zip(
        batch["input_ids"], batch["attention_mask"], batch["labels"], setup.examples, values, strict=True
    ):
        tokens = processor.action_tokens.encode(chunk).flatten().tolist()
        prompt = processor([example["images"]], [example["text"]])["input_ids"][0].tolist()
        assert ids[mask.bool()].tolist() == prompt + tokens
        padding = len(ids) - len(prompt) - 24
        assert labels.tolist() == [-100] * len(prompt) + tokens + [-100] * padding
    with torch.no_grad():
        output = model(**batch)
        losses = [model(**collator([example])).loss for example in setup.examples]
    torch.testing.assert_close(output.loss, torch.stack(losses).mean(), rtol=1e-5, atol=1e-6)


def check_learnt_tokens(collator, examples, per_step, behind):
    """Of a chunk with padding the tokens of real steps are learnt, and those behind all steps."""
    real = (3, 8)
    padded = [
        {**example, "action_is_pad": np.arange(8) >= count, "sample_weight": 0.5 * count}
        for example, count in zip(examples, real, strict=True)
    ]
    whole, batch = collator(examples), collator(padded)
    assert batch["sample_weight"].tolist() == [1.5, 4.0]
    for labels, found, count in zip(whole["labels"], batch["labels"], real, strict=True):
        answer = labels[labels != -100].tolist()
        hidden = [-100] * per_step * (8 - count)
        assert len(answer) == 8 * per_step + behind
        assert found[labels != -100].tolist() == answer[: per_step * count] + hidden + answer[8 * per_step :]
    return batch


@only("mapanything_llava3d")
def test_action_tokens_of_padding_are_not_learned(setup, writer):
    check_learnt_tokens(collator_for(*writer), setup.examples, 3, 0)


@only("cogvla")
@pytest.mark.parametrize("head", ["discrete", "l1"])
def test_cogvla_does_not_learn_the_padding_of_a_chunk(setup, cogvla, head):
    batch = check_learnt_tokens(cogvla(action_head=head)[1], setup.examples, 7, 1)
    if head == "l1":
        assert batch["action_is_pad"].tolist() == [[False] * 3 + [True] * 5, [False] * 8]


@only("mapanything_llava3d")
def test_a_model_that_cannot_learn_actions_is_refused(writer, setup):
    config, processor = writer
    with pytest.raises(InputError, match="action_expert_type"):
        collator_for(config, SimpleNamespace(state_dim=None, action_token_config=None))
    config.action_dim = 6
    with pytest.raises(InputError, match="action_dim=6"):
        collator_for(config, processor)
    with pytest.raises(InputError, match="None values, the processor's 8"):
        collator_for(config, setup.processor)


# ---- composed VLAs


@only("multimodal_vla")
@pytest.mark.parametrize("head", ["mlp", "discrete"])
def test_a_composed_model_with_another_head_learns_without_draws(setup, head):
    config = copy.deepcopy(setup.model.config)
    config.action_head, config.use_proprio = head, False
    torch.manual_seed(0)
    model = vlahub.MultimodalVLAForActionPrediction(config).eval()
    processor = vlahub.MultimodalVLAProcessor.for_config(config, setup.processor.tokenizer)
    collator = collator_for(config, processor)
    batch = collator(setup.examples)
    assert set(batch) == {"input_ids", "attention_mask", "pixel_values", "actions"}
    with torch.no_grad():
        losses = [model(**collator([example])).loss for example in setup.examples]
        torch.testing.assert_close(model(**batch).loss, torch.stack(losses).mean(), rtol=1e-5, atol=1e-6)


# ---- Alpamayo-R1


@only("alpamayo_r1")
def test_an_answer_is_reasoning_and_the_token_that_opens_the_trajectory(setup):
    tokenizer = setup.processor.tokenizer
    batch = AlpamayoR1Collator(setup.model.config, setup.processor, learn_text=True)(setup.examples)
    answers = "keep left<|cot_end|><|traj_future_start|>", "<|cot_end|><|traj_future_start|>"
    for i, (example, answer) in enumerate(zip(setup.examples, answers, strict=True)):
        history = example["ego_history_xyz"], example["ego_history_rot"]
        prompt = setup.processor(example["images"], *history)["input_ids"][0].tolist()
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == answer and ids[-1] == setup.model.config.traj_token_ids["future_start"]
        padding = [-100] * (batch["input_ids"].shape[1] - len(prompt) - len(ids))
        assert batch["input_ids"][i][batch["attention_mask"][i].bool()].tolist() == prompt + ids
        assert batch["labels"][i].tolist() == [-100] * len(prompt) + ids + padding
    assert "labels" not in setup.collator(setup.examples)
    with torch.no_grad():
        both = setup.model(**batch)
        action_loss = setup.model(**setup.collator(setup.examples)).loss
    torch.testing.assert_close(both.action_loss, action_loss)
    logits, labels = both.logits[:, :-1], batch["labels"][:, 1:]
    by_hand = -logits.log_softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1))[..., 0][labels != -100].mean()
    torch.testing.assert_close(both.loss, by_hand + action_loss)


@only("alpamayo_r1")
def test_a_request_and_a_prompt_without_an_open_answer(setup):
    processor = copy.deepcopy(setup.processor)
    processor.answer_start = ""
    tokenizer = processor.tokenizer
    example = {**setup.examples[0], "text": "park"}
    batch = AlpamayoR1Collator(setup.model.config, processor, learn_text=True)([example])
    answer = batch["labels"][0][batch["labels"][0] != -100]
    assert tokenizer.decode(answer) == "<|cot_start|>keep left<|cot_end|><|traj_future_start|>"
    assert "park<|im_end|>" in tokenizer.decode(batch["input_ids"][0])
    processor.answer_start = "Well, "
    with pytest.raises(InputError, match="answer_start='Well, '"):
        AlpamayoR1Collator(setup.model.config, processor)


@only("alpamayo_r1")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reasoning": "stop<|im_end|>"}, r"\['reasoning'\] holds the marker '<\|im_end\|>'"),
        ({"reasoning": "go <i3>"}, "'<i3>'"),
        ({"reasoning": 3}, r"\['reasoning'\] is a int"),
        ({"ego_future_xyz": np.zeros((63, 3))}, r"\['ego_future_xyz'\] has shape \(63, 3\); \(64, 3\)"),
        ({"ego_future_rot": None}, "no 'ego_future_rot'"),
        ({"ego_history_xyz": np.zeros((15, 3))}, r"\(16, 3\)"),
        ({"ego_history_xyz": np.full((16, 3), 5.0)}, r"\['ego_history_xyz'\] does not end at the origin but 5 away"),
        ({"ego_history_rot": -np.tile(np.eye(3), (16, 1, 1))}, r"\['ego_history_rot'\] does not end"),
        ({"ego_history_xyz": np.full((16, 3), np.nan)}, "not finite"),
        ({"images": None}, "no 'images'"),
    ],
)
def test_a_bad_driving_example_is_named(setup, change, words):
    with pytest.raises(InputError, match=words) as caught:
        setup.collator([setup.examples[0], {**setup.examples[1], **change}])
    assert "examples[1]" in str(caught.value)


# ---- what robots' examples lack


@robots
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"actions": np.zeros((3, 7))}, r"\['actions'\] has shape \(3, 7\); \(8, 7\) is needed"),
        ({"actions": np.full((8, 7), np.inf)}, r"\['actions'\] holds values that are not finite"),
        ({"actions": "up"}, r"\['actions'\] must be numbers"),
        ({"actions": None}, r"no 'actions'; its entries are actions, images"),
        ({"state": None}, "no 'state'"),
        ({"state": np.zeros(7)}, r"\['state'\] has shape \(7,\); \(8,\)"),
        ({"text": None}, "no 'text'"),
        ({"text": ["pick"]}, r"\['text'\] is a list"),
        ({"images": None}, "no 'images'"),
        ({"images": Image.new("RGB", (8, 8))}, r"\['images'\] is a Image; a list or a dict"),
    ],
)
def test_a_bad_example_is_named(setup, change, words):
    with pytest.raises(InputError, match=words) as caught:
        setup.collator([setup.examples[0], {**setup.examples[1], **change}])
    assert "examples[1]" in str(caught.value)


def test_statistics_must_be_there(setup, family):
    config = copy.deepcopy(setup.model.config)
    with pytest.raises(InputError, match=r"unnorm_key='unknown'"):
        collator_for(config, setup.processor, unnorm_key="unknown")
    if family.unnorm_key is not None:
        config.norm_stats = {}
        with pytest.raises(InputError, match="holds no statistics"):
            collator_for(config, setup.processor)


def test_an_unknown_family_is_refused():
    with pytest.raises(InputError, match="model_type='llama' has no collator; known are cogvla"):
        collator_for(SimpleNamespace(model_type="llama"), None)


def test_errors_are_the_distances_of_actions_that_are_no_padding(monkeypatch):
    collator = object.__new__(RobotCollator)
    collator.chunk_shape = (2, 2)
    monkeypatch.setattr(collator, "predicted", lambda model, examples, device: torch.zeros(2, 2, 2), raising=False)
    actions = [[1.0, -2.0], [30.0, 40.0]]
    examples = [{"actions": actions, "action_is_pad": [False, True]}, {"actions": [[-3.0, 4.0], [5.0, -6.0]]}]
    assert collator.prediction_errors(None, examples, None).tolist() == [1, 2, 3, 4, 5, 6]
