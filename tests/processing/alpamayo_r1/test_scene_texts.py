"""Messages, requests, navigation and questions of a drive: in their places, as many as samples, or a named error."""

from types import SimpleNamespace

import numpy as np
import pytest

from vlahub.errors import ConfigError, InputError
from vlahub.processing.alpamayo_r1 import messages, scene_samples
from vlahub.processing.alpamayo_r1.camera_labels import labels_before, read_indices
from vlahub.processing.alpamayo_r1.driving_prompt import IMAGE_TOKEN, DrivingPrompt, driving_prompt_pieces, request_of
from vlahub.processing.alpamayo_r1.history_placeholders import check_tokens
from vlahub.processing.alpamayo_r1.messages import (
    SceneMessage,
    driving_text,
    images_of,
    published_frames,
    published_labels,
    with_image_tokens,
)
from vlahub.processing.alpamayo_r1.route_and_question import (
    ANSWER_START,
    QUESTION,
    ROUTE,
    check_alone,
    check_request,
    navigations_of,
    questions_of,
    reads_routes,
)
from vlahub.processing.alpamayo_r1.scene_samples import as_batch, in_order, labels_of, requests_of, split_samples
from vlahub.processing.alpamayo_r1.special_tokens import TRAJ_TOKEN
from vlahub.processing.alpamayo_r1.written_parts import split_ids
from vlahub.processing.chat_turns import Turn

VIEWS = ["camera_front_wide_120fov", "camera_cross_left_120fov"]  # 1 and 0
LATER = [*ROUTE, *QUESTION, ANSWER_START, "<|extra|>", " "]


def tokenizer(*added):
    return SimpleNamespace(get_added_vocab=lambda: dict.fromkeys(added, 1), pad_token_id=0, eos_token_id=1)


@pytest.fixture
def warned(monkeypatch):
    """How often it was warned of cameras without names."""
    found = []
    for module in (messages, scene_samples):
        monkeypatch.setattr(module, "warn_of_unnamed", lambda: found.append(1))
    return found


# Messages


def test_labels_stand_before_their_frames_and_the_text_behind_all():
    system, user, assistant = SceneMessage(["a", "b"], ["one", ""], "Drive.").written("now", "So:")
    assert [part["content"] for part in (system, assistant)] == [
        [{"type": "text", "text": "Drive."}],
        [{"type": "text", "text": "So:"}],
    ]
    said = [part.get("text", part.get("image")) for part in user["content"]]
    assert said == ["one", "a", "b", "now"]
    assert [turn["role"] for turn in (system, user, assistant)] == ["system", "user", "assistant"]


def test_a_path_has_as_many_places_as_there_are_tokens_and_a_route_its_markers():
    plain = driving_text(3, None, "go")
    assert plain.count("<|traj_history|>") == 3 and plain.endswith("go") and ROUTE[0] not in plain
    assert driving_text(3, "left", "go") == plain.removesuffix("go") + f"{ROUTE[0]}left{ROUTE[1]}go"
    assert driving_text(3, "", "go").endswith(f"{ROUTE[0]}{ROUTE[1]}go")


def test_frames_of_the_published_scripts_are_as_many_as_their_cameras_say(warned):
    assert len(published_frames(np.zeros((4, 3, 2, 2)))) == 4 and published_frames(["a"]) == ["a"]
    with pytest.raises(InputError, match=r"frames has shape \(1, 4, 3, 2, 2\)"):
        published_frames(np.zeros((1, 4, 3, 2, 2)))
    assert len(published_labels([0] * 4, [1, 0], 2, True)) == 4 and not warned
    for count in (3, 5):
        with pytest.raises(InputError, match=f"frames holds {count} images; 2 .* of each of 2 cameras"):
            published_labels([0] * count, [1, 0], 2, True)
    assert published_labels([0] * 3, None, 2, False) == [] and not warned
    assert published_labels([0] * 3, None, 2, True) == [] and warned == [1]


@pytest.mark.parametrize("part", [{"type": "video"}, {"type": "image"}, {"type": "text"}, {"text": "a"}], ids=str)
def test_a_part_of_a_message_is_a_text_or_an_image(part):
    chat = [{"content": "a"}, {"content": [{"type": "image", "image": 1}, {"type": "text", "text": "b"}]}]
    assert images_of([*chat, {"content": [{"type": "image", "image": 2}]}]) == [1, 2]
    with pytest.raises(InputError, match="a message holds"):
        images_of([*chat, {"content": [part]}])


def test_each_image_has_as_many_tokens_as_the_model_makes_of_it():
    text = f"a{IMAGE_TOKEN}b{IMAGE_TOKEN}c"
    assert with_image_tokens(text, [2, 1]) == f"a{IMAGE_TOKEN * 2}b{IMAGE_TOKEN}c" and with_image_tokens("a", []) == "a"
    for counts in ([1], [1, 1, 1]):
        with pytest.raises(InputError, match=f"write 2 image tokens and hold {len(counts)} images"):
            with_image_tokens(text, counts)


# Navigation and questions


def test_navigation_is_one_for_all_or_one_for_each():
    later = tokenizer(*LATER)
    assert navigations_of("left", 2, later) == ["left", "left"] and navigations_of(None, 2, later) == [None, None]
    assert navigations_of(["left", None], 2, later) == navigations_of(("left", None), 2, later) == ["left", None]
    for given in (["left"], ["left"] * 3):
        with pytest.raises(InputError, match=f"nav_text has {len(given)} entries, the batch 2 samples"):
            navigations_of(given, 2, later)
    with pytest.raises(InputError, match="nav_text is a int"):
        navigations_of(3, 2, later)
    with pytest.raises(InputError, match="nav_text"):
        navigations_of(["left", 3], 2, later)


@pytest.mark.parametrize("marker", ["<|route_end|>", "<|anything|>", "<i7>", "<|extra|>"])
def test_a_text_with_a_marker_is_refused(marker):
    later = tokenizer(*LATER, "{tool}")
    for read in (lambda text: navigations_of(text, 1, later), lambda text: questions_of(text, later)):
        with pytest.raises(InputError, match="holds the marker"):
            read(f"go {marker} there")
        with pytest.raises(InputError, match=r"holds the marker '\{tool\}'"):
            read("go {tool} there")
    assert questions_of(["why?", "where?"], later) == ["why?", "where?"]


def test_a_model_without_a_part_is_told_from_one_that_has_it():
    assert reads_routes(tokenizer(*LATER)) and not reads_routes(tokenizer(ROUTE[0]))
    for text in ("left", ""):
        with pytest.raises(InputError, match=r"nav_text: this model has no token '<\|route_end\|>'"):
            navigations_of(text, 1, tokenizer(ROUTE[0]))
    assert navigations_of(None, 1, tokenizer()) == [None]
    with pytest.raises(InputError, match="question: this model has no token"):
        questions_of("why?", tokenizer(*QUESTION))


def test_a_whole_prompt_and_what_stands_beside_a_question_are_refused():
    for marker, name in ((ROUTE[0], "nav_text"), (QUESTION[0], "question")):
        with pytest.raises(InputError, match=f"give the request, and {name} by itself"):
            check_request(f"<|im_start|>user\n{marker}")
    check_request("<|im_start|>user\ngo")
    check_alone({"nav_text": None})
    with pytest.raises(InputError, match="nav_text was given beside question"):
        check_alone({"history": None, "nav_text": ""})


# Samples


def test_a_request_is_one_for_all_or_one_for_each_and_by_default_the_models():
    assert requests_of(None, "drive", 2) == ["drive"] * 2 and requests_of("go", "drive", 2) == ["go"] * 2
    assert requests_of(["a", "b"], "drive", 2) == ["a", "b"]
    for given in (["a"], ["a"] * 3):
        with pytest.raises(InputError, match=f"text holds {len(given)} requests, ego_history_xyz 2 samples"):
            requests_of(given, "drive", 2)
    assert requests_of("", "drive", 1) == [""]


def test_images_of_a_batch_are_one_entry_a_sample():
    assert split_samples("all", 1, None, "text") == ["all"] and split_samples(["a", "b"], 2, None, "text") == ["a", "b"]
    for given, said in ((["a"], "1 samples"), (["a"] * 3, "3 samples"), (3, "int")):
        with pytest.raises(InputError, match=f"images holds {said}, text 2"):
            split_samples(given, 2, None, "text")


def test_cameras_of_a_dict_are_in_the_order_of_training():
    assert in_order({VIEWS[1]: "left", VIEWS[0]: "front"}, VIEWS) == ["front", "left"] and in_order("a", None) == "a"
    with pytest.raises(InputError, match="records no view_names"):
        in_order({"a": 1}, None)


def test_labels_are_of_the_numbers_given_or_recorded_and_a_dict_has_no_others(warned):
    images, given = ["front", "left"], dict(zip(VIEWS, "ab", strict=True))
    by_number = labels_of(images, [images], [1, 0], None, False)
    assert (
        by_number == labels_of(images, [images], None, VIEWS, True) == labels_of(given, [images], [1, 0], VIEWS, True)
    )
    assert [label.split(":")[0] for label in by_number[0]] == ["Front camera", "Front left camera"]
    assert labels_of(images, [images], None, VIEWS, False) == [[]] and not warned
    assert labels_of(images, [images], None, None, True) == [[]] and warned == [1]
    for batch in (given, [given, images]):
        samples = [images] * (1 if batch is given else 2)
        with pytest.raises(InputError, match=r"camera_indices=\[0, 1\], but the cameras of a dict .* numbers \[1, 0\]"):
            labels_of(batch, samples, [0, 1], VIEWS, True)


def test_a_batch_holds_the_pixels_of_the_samples_that_have_images():
    pixels = [{"pixel_values": np.ones((2, 3)), "image_grid_thw": np.ones((1, 3))}, {}]
    found = as_batch([[5], [5, 6]], pixels, tokenizer(), "left", "np", {"more": np.ones(2)})
    assert (
        found["pixel_values"].shape == (2, 3) and found["image_grid_thw"].shape == (1, 3) and found["more"].sum() == 2
    )
    assert found["input_ids"].tolist() == [[0, 5], [5, 6]]
    assert "pixel_values" not in as_batch([[5]], [{}], tokenizer(), "left", "np")


def test_a_camera_beyond_those_with_names_is_called_by_its_number():
    assert labels_before([7, 1], [1, 2]) == ["Camera 7: frame 0 ", "Front camera: frame 0 ", "frame 1 "]
    assert read_indices([7, 1], 1) == [[7, 1]]
    with pytest.raises(InputError, match="camera_indices holds True; a camera's number is 0 or above"):
        read_indices([True, 2], 1)


def test_the_systems_line_is_no_turn():
    with pytest.raises(InputError, match="history has a system turn"):
        driving_prompt_pieces(DrivingPrompt("drive", (1,), 2, turns=[Turn("system", "fly")]))


def test_the_request_of_a_whole_prompt_is_found_behind_any_path():
    head, behind = driving_prompt_pieces(DrivingPrompt("drive", (2,), 0))
    end = TRAJ_TOKEN["history_end"]
    for path in ("", "<i1><i222>", TRAJ_TOKEN["history"] * 3):
        assert request_of(f"{head.replace(end, path + end)}go home{behind}", "drive", behind) == "go home"


def test_what_was_written_is_taken_apart_without_special_tokens_alone():
    tokens = {1: SimpleNamespace(content="<|end|>", special=True), 2: SimpleNamespace(content="lane", special=False)}
    text = "keep lane <|end|><|cot_end|>"
    reader = SimpleNamespace(decode=lambda ids, skip_special_tokens: text, added_tokens_decoder=tokens)
    assert split_ids(reader, [1, 2], False)["cot"] == "keep lane <|end|>"
    assert split_ids(reader, [[1, 2]], True)["cot"] == ["keep lane"]
    for ids in (3, [[[1]]]):
        with pytest.raises(InputError, match="accepted is"):
            split_ids(reader, ids, False)


def test_a_tokenizer_has_the_token_of_images_and_all_values_of_a_path():
    words = [TRAJ_TOKEN["history_start"], TRAJ_TOKEN["history"], TRAJ_TOKEN["history_end"], IMAGE_TOKEN]
    known = {token: i for i, token in enumerate([*words, "<i0>", "<i1>", "<i2>"])}
    reader = SimpleNamespace(get_vocab=lambda: known)
    check_tokens(reader, 4, 3)
    with pytest.raises(ConfigError, match="with 4 values needs '<i3>' at id 7; in the tokenizer it is at None"):
        check_tokens(reader, 4, 4)
    with pytest.raises(ConfigError, match="with 3 values needs '<i-1>' at id 3"):
        check_tokens(reader, 3, 3)
    del known[IMAGE_TOKEN]
    with pytest.raises(ConfigError, match=r"the tokenizer has no token '<\|image_pad\|>'"):
        check_tokens(reader, 4, 3)
