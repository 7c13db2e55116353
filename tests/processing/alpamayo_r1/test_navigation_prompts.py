"""Prompts of Alpamayo 1.5: names of cameras, navigation and questions, as published, or a named error."""

import copy

import numpy as np
import pytest
import torch
from alpamayo_prompts import call, frames, history, make_processor, tiny_tokenizer

from vlahub.configuration.vla_errors import ConfigError, InputError
from vlahub.modeling.alpamayo_r1.reasoning_text import split_text
from vlahub.processing.alpamayo_r1 import camera_labels
from vlahub.processing.alpamayo_r1.special_tokens import add_trajectory_tokens

CASE = "alpamayo_1_5/nav_prompts"
TURN = "Turn left onto Main St in 40m"
NUMBERS = range(7)


@pytest.fixture(scope="module")
def added(golden):
    return golden("alpamayo/special_tokens").config["added_by_base_tokenizer"]


@pytest.fixture
def processor(added):
    return make_processor(tiny_tokenizer(added))


@pytest.fixture
def later(added):
    """As a conversion of the later release makes it."""
    return make_processor(tiny_tokenizer(added), later_names=True, camera_labels=True)


def without_history(processor, ids):
    """The ids with placeholders where the history's values are, as vectors have them."""
    first, holder = processor.history_token_start_idx, processor.tokenizer.convert_tokens_to_ids("<|traj_history|>")
    return [holder if first <= i < first + processor.history_values.vocab_size else i for i in ids]


def prompted(processor, case, images):
    words = {name: case[name] for name in ("camera_indices", "nav_text")}
    if case["question"] is None:
        return call(processor, images, **words)
    return processor(images, question=case["question"], camera_indices=case["camera_indices"])


# ---- the published prompts


@pytest.mark.parametrize("release", ["processor", "later"])
@pytest.mark.parametrize("number", NUMBERS)
def test_prompts_are_the_published_text_and_ids(golden, request, release, number):
    processor, case = request.getfixturevalue(release), golden(CASE)["outputs"]["prompts"][number]
    images = frames(case["frames"]["count"])
    inputs = prompted(processor, case, images)
    assert without_history(processor, inputs["input_ids"][0].tolist()) == case["input_ids"]
    assert inputs["image_grid_thw"].tolist() == case["image_grid_thw"]
    assert set(inputs).isdisjoint({"ego_history_xyz"}) == (case["question"] is not None)
    count = {"camera_indices": case["camera_indices"], "num_frames_per_camera": case["num_frames_per_camera"]}
    if case["question"] is None:
        more = {name: case[name] for name in ("nav_text", "use_nav_prompt")}
        chat = processor.create_message(torch.from_numpy(images), **count, **more)
    else:
        chat = processor.create_vqa_message(torch.from_numpy(images), case["question"], **count)
    assert processor.apply_chat_template(chat, continue_final_message=True) == case["prompt_text"]
    ids = processor.apply_chat_template(chat, tokenize=True, continue_final_message=True)
    assert ids[0].tolist() == case["input_ids"]


def test_reserved_tokens_have_the_names_of_either_release_at_the_same_ids(golden, added):
    names, ids = (golden(CASE).config[name] for name in ("SPECIAL_TOKENS_KEYS", "special_token_ids"))
    earlier, later = tiny_tokenizer(added), tiny_tokenizer(added)
    first = add_trajectory_tokens(earlier, 160)
    assert add_trajectory_tokens(later, 160, later_names=True) == first
    assert [later.convert_tokens_to_ids(f"<|{name}|>") for name in names] == [ids[name] for name in names]
    for tokenizer, again in ((later, False), (earlier, True)):  # what is there keeps its names
        vocabulary = copy.deepcopy(tokenizer.get_vocab())
        assert add_trajectory_tokens(tokenizer, 160, later_names=again) == first
        assert tokenizer.get_vocab() == vocabulary
    half = tiny_tokenizer(added)
    half.add_tokens([f"<i{i}>" for i in range(160)])
    half.add_tokens([f"<|{name}|>" for name in names[:6]])
    with pytest.raises(ConfigError, match="lacks"):
        add_trajectory_tokens(half, 160)


@pytest.mark.parametrize("number", range(8))
def test_parts_of_texts_are_the_published_ones(golden, number):
    case = golden(CASE)["outputs"]["extracted"][number]
    assert {part: found[0] for part, found in split_text([case["text"]]).items()} == {
        part: case[part] for part in ("cot", "meta_action", "answer")
    }


# ---- cameras and batches


def test_seven_cameras_and_others_are_named_once_and_their_frames_counted():
    labels = camera_labels.labels_before([0, 1, 2, 3, 4, 5, 6, 9], [1, 2, 1, 1, 3, 1, 1, 1])
    assert labels[:3] == ["Front left camera: frame 0 ", "Front camera: frame 0 ", "frame 1 "]
    assert labels[3:9] == [
        "Front right camera: frame 0 ",
        "Rear left camera: frame 0 ",
        "Rear camera: frame 0 ",
        "frame 1 ",
        "frame 2 ",
        "Rear right camera: frame 0 ",
    ]
    assert labels[9:] == ["Front telephoto camera: frame 0 ", "Camera 9: frame 0 "]


FORMS = {
    "stack": lambda images: images.reshape(2, 2, *images.shape[1:]),
    "batch of one": lambda images: [images.reshape(2, 2, *images.shape[1:])],
    "lists": lambda images: [list(images[:2]), list(images[2:])],
    "flat list": list,
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_any_form_get_the_labels_of_their_cameras(processor, form):
    wanted = call(processor, frames(4), camera_indices=torch.tensor([1, 6]))
    found = call(processor, FORMS[form](frames(4)), camera_indices=np.array([1, 6]))
    assert torch.equal(found["input_ids"], wanted["input_ids"])


def test_cameras_with_different_numbers_of_frames_keep_their_own(processor):
    images = [list(frames(3)), list(frames(1, seed=1))]
    ids = call(processor, images, camera_indices=[1, 6])["input_ids"][0]
    text = processor.tokenizer.decode(ids)
    assert text.count("frame 2 ") == 1 and text.count("frame 0 ") == 2
    assert text.index("frame 2") < text.index("Front telephoto camera: frame 0")


def test_rows_of_a_batch_are_as_they_are_alone(processor):
    routes, cameras = [None, TURN, ""], [[0, 1], [1, 6], [4, 2]]
    images = [frames(4, seed=i) for i in range(3)]
    poses = [np.stack(part) for part in zip(*(history(i) for i in range(3)), strict=True)]
    batch = processor(images, *poses, nav_text=routes, camera_indices=cameras)
    for i in range(3):
        alone = call(processor, images[i], seed=i, nav_text=routes[i], camera_indices=cameras[i])["input_ids"][0]
        assert torch.equal(batch["input_ids"][i][batch["attention_mask"][i].bool()], alone)
    asked = processor([frames(1), frames(2)], question=["why?", "Is the light red?"])
    assert asked["attention_mask"].sum(dim=1).diff().item() > 0 and len(asked["image_grid_thw"]) == 3


def test_a_camera_without_frames_is_refused():
    with pytest.raises(InputError, match=r"images has 2 cameras, with \[2, 0\] frames, camera_indices 2"):
        camera_labels.frames_of_cameras([["a", "b"], []], 2)


def test_names_of_the_dataset_are_known_in_any_case():
    assert camera_labels.recorded_indices(["CAMERA_FRONT_WIDE_120FOV", "camera_front_tele_30fov"]) == [1, 6]
    assert camera_labels.recorded_indices(["camera_front_wide_120fov", "roof"]) is None


def test_names_of_the_dataset_tell_the_cameras_where_the_model_was_trained_with_them(added):
    names = ["camera_front_wide_120fov", "camera_front_tele_30fov"]
    settings = {"camera_labels": True, "view_names": names}
    processor = make_processor(tiny_tokenizer(added), **settings)
    images = {name: frames(2, seed=i) for i, name in enumerate(reversed(names))}
    wanted = call(processor, images, camera_indices=[1, 6])
    assert torch.equal(call(processor, images)["input_ids"], wanted["input_ids"])
    assert torch.equal(call(processor, images, camera_indices=[1, 6])["input_ids"], wanted["input_ids"])
    with pytest.raises(InputError, match=r"camera_indices=\[6, 1\], but the cameras of a dict .* numbers \[1, 6\]"):
        call(processor, images, camera_indices=[6, 1])
    with pytest.raises(InputError, match=r"camera_indices=\[6, 1\], but the cameras of a dict"):
        processor([images, images], question=["a", "b"], camera_indices=[[1, 6], [6, 1]])


def test_a_model_with_camera_labels_says_that_a_prompt_has_none(later, monkeypatch):
    said = []
    monkeypatch.setattr(camera_labels.logger, "warning_once", said.append)
    call(later, camera_indices=[1])
    assert not said
    call(later)
    assert "camera_indices" in said[0] and "[0, 1, 2, 6]" in said[0]
    later.create_message(frames(4), camera_indices=[1])
    assert len(said) == 1
    later.create_message(frames(4))
    later.create_vqa_message(frames(4), "why?")
    assert said == [said[0]] * 3


def test_recorded_cameras_that_are_not_as_many_as_the_images_are_told_of_by_their_own_name(added):
    names = ["camera_front_wide_120fov", "camera_front_tele_30fov"]
    processor = make_processor(tiny_tokenizer(added), camera_labels=True, view_names=names)
    with pytest.raises(InputError, match="images has 3 frames in a row, no camera_indices, and view_names 2 cameras"):
        call(processor, frames(3))


@pytest.mark.slow
def test_the_label_setting_travels_with_the_processor(later, processor, tmp_path):
    for each, labels in ((later, True), (processor, False)):
        each.save_pretrained(tmp_path / str(labels))
        assert type(each).from_pretrained(tmp_path / str(labels)).camera_labels is labels


# ---- what is refused

WRONG = {
    "marker in navigation": ({"nav_text": "left<|route_end|>"}, r"nav_text holds the marker '<\|route_end\|>'"),
    "value in navigation": ({"nav_text": "go <i7>"}, "'<i7>'"),
    "token of the base": ({"nav_text": "go <tool_call>"}, "'<tool_call>'"),
    "many navigations": ({"nav_text": [TURN, TURN]}, "nav_text has 2 entries, the batch 1"),
    "no navigation": ({"nav_text": 3}, "nav_text is a int"),
    "list in navigation": ({"nav_text": [3]}, "nav_text"),
    "few frames": ({"camera_indices": [0, 1, 2]}, "2 frames in a row, camera_indices 3 cameras"),
    "other cameras": ({"images": frames(4).reshape(2, 2, 3, 60, 90), "camera_indices": [0, 1, 2]}, "images has 2 cam"),
    "cameras in one": ({"images": frames(4).reshape(2, 2, 3, 60, 90), "camera_indices": [1]}, "2 cameras, with .* 1"),
    "a camera twice": ({"camera_indices": [1, 1]}, "twice"),
    "negative": ({"camera_indices": [-1, 1]}, "holds -1"),
    "fraction": ({"camera_indices": [0.5, 1]}, "holds 0.5"),
    "no list": ({"camera_indices": 1}, "camera_indices is 1"),
    "many samples": ({"camera_indices": [[0, 1], [0, 1]]}, "cameras of 2 samples, the batch 1"),
    "whole prompt": ({"text": "<|im_start|>user\n<|route_start|>x<|route_end|>go"}, "whole prompt"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_a_prompt_is_refused(processor, name):
    arguments, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        call(processor, **arguments)


BESIDE = {"ego_history_xyz": history()[0], "ego_history_rot": history()[1], "text": "go", "nav_text": TURN}


@pytest.mark.parametrize("name", [*BESIDE, "history", "advantage"])
def test_what_a_question_stands_without_is_refused(processor, name):
    with pytest.raises(InputError, match=f"{name} was given beside question"):
        processor(frames(), question="why?", **{name: BESIDE.get(name, "positive")})


def test_questions_that_cannot_be_asked_are_refused(processor, added):
    with pytest.raises(InputError, match="question holds the marker"):
        processor(frames(), question="why<|question_end|>")
    with pytest.raises(InputError, match="images holds 2 samples, question 3"):
        processor([frames(), frames()], question=["a", "b", "c"])
    small = make_processor(tiny_tokenizer(added), add_special_tokens=False, history_token_start_idx=426)
    with pytest.raises(InputError, match=r"no token '<\|question_start\|>'"):
        small(frames(), question="why?")
    with pytest.raises(InputError, match=r"no token '<\|route_start\|>'"):
        call(small, nav_text=TURN)


def test_published_messages_refuse_frames_that_are_not_as_many_as_said(processor):
    with pytest.raises(InputError, match=r"frames holds 4 images; 4 .* of each of 2 cameras"):
        processor.create_message(frames(4), camera_indices=[1, 6])
