"""Examples with navigation, names of cameras and questions, in batches and among each other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from alpamayo_golden import published_model
from alpamayo_prompts import frames, history, make_processor, tiny_tokenizer

from vlahub.data import AlpamayoR1Collator
from vlahub.errors import InputError
from vlahub.training.alpamayo_r1.question_examples import joined_rows

TEXT = {"learn_text": True, "learn_actions": False}
NAV = "Turn left onto Main St in 40m"


@pytest.fixture(scope="module")
def processor(golden):
    base = tiny_tokenizer(golden("alpamayo/special_tokens").config["added_by_base_tokenizer"])
    return make_processor(base, later_names=True, camera_labels=True)


@pytest.fixture(scope="module")
def asked(golden):
    return golden("alpamayo_1_5/sft_vqa")


@pytest.fixture(scope="module")
def model(asked):
    return published_model(asked, "sdpa")


@pytest.fixture
def questions(asked):
    """The examples of the published case, but for their pixels."""
    return [
        {
            "images": frames(row["frames"], seed=i),
            **{name: row[name] for name in ("question", "answer")},
            "camera_indices": torch.tensor(row["cameras"]),
        }
        for i, row in enumerate(asked["run"]["rows"])
    ]


def drive(seed=0, **more):
    xyz, rot = (np.asarray(part, dtype=np.float32) for part in history(seed))
    ahead = np.stack([np.linspace(0.5, 32, 64), *[np.zeros(64)] * 2], axis=-1).astype(np.float32)
    future = {"ego_future_xyz": ahead, "ego_future_rot": np.tile(np.eye(3, dtype=np.float32), (64, 1, 1))}
    return {"images": frames(4, seed=seed), "ego_history_xyz": xyz, "ego_history_rot": rot, **future, **more}


def test_questions_are_the_published_ids_and_labels(asked, processor, model, questions):
    batch = AlpamayoR1Collator(model.config, processor, **TEXT)(questions)
    ids, mask, labels = (asked.input(name) for name in ("input_ids", "attention_mask", "labels_mask"))
    for i in range(2):
        real = mask[i].bool()
        found = batch["attention_mask"][i].bool()
        assert torch.equal(batch["input_ids"][i][found], ids[i][real][:-1])  # but for a line end, which is not learnt
        wanted = ids[i].masked_fill(~labels[i].bool(), -100)[real][:-1]
        assert torch.equal(batch["labels"][i][found], wanted)
    assert set(batch) == {"input_ids", "attention_mask", "labels", "pixel_values", "image_grid_thw"}
    spaced = [question | {"answer": f" {question['answer']}\n"} for question in questions]
    again = AlpamayoR1Collator(model.config, processor, **TEXT)(spaced)
    assert torch.equal(again["input_ids"], batch["input_ids"])


def test_navigation_and_cameras_go_into_the_prompt_of_a_drive(processor, model):
    examples = [drive(nav_text=NAV, camera_indices=[1, 6]), drive(1, camera_indices=np.array([0, 2]))]
    collator = AlpamayoR1Collator(model.config, processor, learn_text=True)
    batch = collator(examples)
    for i, (nav, cameras) in enumerate(((NAV, [1, 6]), (None, [0, 2]))):
        poses = (examples[i][f"ego_history_{part}"] for part in ("xyz", "rot"))
        prompt = processor(examples[i]["images"], *poses, nav_text=nav, camera_indices=cameras)["input_ids"][0]
        assert torch.equal(batch["input_ids"][i, : len(prompt)], prompt)
    scenes = collator.scenes(examples)
    text = processor.tokenizer.decode(scenes["input_ids"][0])
    assert f"<|route_start|>{NAV}<|route_end|>" in text and "Front telephoto camera: frame 0" in text


def test_navigation_without_reasoning_is_the_published_ids_and_labels(golden, model, processor):
    case = golden("alpamayo_1_5/sft_nav")
    poses = [f"ego_{time}_{part}" for time in ("history", "future") for part in ("xyz", "rot")]
    words = {"request": "output the future trajectory.", "answer_start": ""}
    future = {"learn_trajectory_text": True, "learn_actions": False, "with_reasoning": False}
    collator = AlpamayoR1Collator(model.config, make_processor(processor.tokenizer, **words), **future)
    seen = [{"images": frames(2, seed=i), "reasoning": "not learnt"} for i in range(2)]
    routes = [{"camera_indices": row["cameras"], "nav_text": row.get("nav_text")} for row in case["run"]["rows"]]
    driven = [{name: case.input(name)[i, 0] for name in poses} for i in range(2)]
    batch = collator([{**seen[i], **routes[i], **driven[i]} for i in range(2)])
    specs = (case["outputs"][f"stage1.{name}"] for name in ("fused_input_ids", "labels"))
    ids, labels = (torch.tensor(spec["values"]).view(spec["shape"]) for spec in specs)
    learnt = torch.where(batch["labels"] != -100, batch["labels"], batch["trajectory_labels"])
    for i in range(2):
        found, real = batch["attention_mask"][i].bool(), case.input("attention_mask")[i].bool()
        assert torch.equal(batch["input_ids"][i][found], ids[i][real][:-1])  # but for a line end, as above
        assert torch.equal(learnt[i][found], labels[i][real][:-1])
    assert (batch["labels"] != -100).sum(dim=1).tolist() == [1, 1]


def test_questions_and_drives_learn_together_as_alone(processor, model, questions):
    collator = AlpamayoR1Collator(model.config, processor, **TEXT, learn_trajectory_text=True)
    examples = [questions[0], drive(nav_text=NAV, camera_indices=[1, 6], reasoning="keep left"), questions[1]]
    batch = collator(examples)
    for i, example in enumerate(examples):
        alone = collator([example])
        real = batch["attention_mask"][i].bool()
        for name in ("input_ids", "labels"):
            assert torch.equal(batch[name][i][real], alone[name][0])
        places = batch["trajectory_labels"][i] != -100
        assert places.sum() == (130 if i == 1 else 0)
    with torch.no_grad():
        output = model(**batch)
    assert output.loss.isfinite() and output.trajectory_lm_loss > 0


def test_neither_padding_nor_what_has_no_labels_is_learnt():
    def row(length, **labels):
        ids = torch.ones(1, length, dtype=torch.long)
        return {"input_ids": ids, "attention_mask": ids, "pixel_values": ids, "image_grid_thw": ids[:, :1], **labels}

    short = row(2, labels=torch.tensor([[1, 2]]))
    rows = [short | {"pixel_values": torch.ones(1, 3)}, row(3, trajectory_labels=torch.tensor([[4, 5, 6]]))]
    batch = joined_rows(rows, SimpleNamespace(pad_token_id=7))
    assert batch["input_ids"].tolist() == [[1, 1, 7], [1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[1, 2, -100], [-100] * 3]
    assert batch["trajectory_labels"].tolist() == [[-100] * 3, [4, 5, 6]]
    for pad, filler in ((0, 0), (None, 9)):
        batch = joined_rows(rows, SimpleNamespace(pad_token_id=pad, eos_token_id=9))
        assert batch["input_ids"].tolist() == [[1, 1, filler], [1, 1, 1]]


def test_frames_that_are_augmented_stay_with_their_cameras(processor, model):
    collator = AlpamayoR1Collator(model.config, processor, augment=lambda image: image, learn_text=True)
    images = [list(frames(3)), list(frames(1, seed=1))]
    example = drive(images=images, camera_indices=[1, 6])
    plain = AlpamayoR1Collator(model.config, processor, learn_text=True)([example])
    found = collator([example])
    assert torch.equal(found["input_ids"], plain["input_ids"]) and torch.equal(
        found["pixel_values"], plain["pixel_values"]
    )


WRONG = {
    "actions": ({}, {"learn_text": True}, "teach text alone"),
    "no text": ({}, {"learn_actions": False, "learn_trajectory_text": True}, "teach text alone"),
    "marker": ({"answer": "yes<|im_end|>"}, TEXT, "'answer' holds the marker"),
    "reasoning": ({}, TEXT | {"with_reasoning": False}, r"answer_start=.* of the processor opens one"),
    "no answer": ({"answer": None}, TEXT, "has no 'answer'"),
    "some weigh": ({"sample_weight": 2.0}, TEXT, "sample_weight"),
}


@pytest.mark.parametrize("name", WRONG)
def test_questions_that_cannot_be_learnt_are_refused(processor, model, questions, name):
    changes, options, message = WRONG[name]
    examples = [questions[0] | changes, questions[1]]
    with pytest.raises(InputError, match=message):
        AlpamayoR1Collator(model.config, processor, **options)(examples)


def test_cameras_of_some_examples_alone_are_refused(processor, model):
    with pytest.raises(InputError, match=r"examples\[1\] has no camera_indices"):
        AlpamayoR1Collator(model.config, processor, learn_text=True)([drive(camera_indices=[1, 6]), drive(1)])


def test_numbers_that_are_not_those_of_an_example_s_cameras_are_refused(processor, model):
    collator = AlpamayoR1Collator(model.config, processor, learn_text=True)
    with pytest.raises(InputError, match="camera_indices is 1; a list"):
        collator([drive(camera_indices=1), drive(1, camera_indices=6)])
    names = ["camera_front_wide_120fov", "camera_front_tele_30fov"]
    collator.processor = make_processor(processor.tokenizer, view_names=names)
    images = {name: frames(2) for name in reversed(names)}
    with pytest.raises(InputError, match=r"camera_indices=\[6, 1\], but the cameras of a dict"):
        collator([drive(images=images, camera_indices=[6, 1])])
    assert "input_ids" in collator([drive(images=images, camera_indices=np.array([1, 6]))])
