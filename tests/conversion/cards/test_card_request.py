"""What is asked of a card: refused where the model has no use for it, told as it is, and no word of it lost."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from vlahub.configuration.card_snippet import Asked
from vlahub.conversion.cards import executed_card
from vlahub.conversion.cards.example_images import ExampleImages
from vlahub.conversion.cards.executed_card import (
    CardRequest,
    asked_of,
    card_in,
    check_request,
    executed,
    no_longer_shown,
    printed_text,
)
from vlahub.conversion.plots.picture_file import PREDICTION_MARK
from vlahub.errors import ConfigError, ConversionError, InputError

ROBOT = SimpleNamespace(predicts="actions", state_size=2, norm_stats={"a": {"action": {}}, "b": {"action": {}}})
BLIND = SimpleNamespace(predicts="actions", state_size=None, norm_stats={"a": {"action": {}}})
CAR = SimpleNamespace(predicts="trajectories", state_size=None, norm_stats={})


@pytest.mark.parametrize(
    ("config", "asked", "said"),
    [
        (ROBOT, {"text": " \n"}, "says nothing"),
        (ROBOT, {"state": [1.0]}, "--state has 1 values, the state of this model 2"),
        (BLIND, {"state": [1.0]}, "this model reads no state"),
        (CAR, {"state": [1.0]}, "this model reads no state"),
        (CAR, {"unnorm_key": "a"}, "--unnorm-key: this model predicts no actions"),
        (ROBOT, {"unnorm_key": "c"}, "unnorm_key='c' is unknown; choices: a, b"),
        (ROBOT, {"keep_images": True}, "--keep-images: name the images"),
        (ROBOT, {"keep_images": True, "images": []}, "--keep-images: name the images"),
        (ROBOT, {"run": False, "picture": True}, "choose one"),
    ],
)
def test_what_the_model_has_no_use_for_is_refused(config, asked, said):
    with pytest.raises((InputError, ConfigError), match=said):
        check_request(CardRequest(**asked), config)


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        (ROBOT, {"text": "go", "state": [1.0, 2.0], "unnorm_key": "b"}),
        (ROBOT, {"keep_images": True, "images": [Path("a.png")]}),
        (ROBOT, {"run": False, "picture": False}),
        (CAR, {"text": "turn left", "run": False}),
        (BLIND, {}),
    ],
)
def test_what_it_reads_is_not(config, asked):
    check_request(CardRequest(**asked), config)


def images_of(**files):
    return ExampleImages(list(files), files)


GIVEN = images_of(**{"a.png": Path("a.png"), "b.png": Path("b.png")})


@pytest.mark.parametrize(
    ("request_", "images", "drawn"),
    [
        (CardRequest(), images_of(), True),
        (CardRequest(run=False), images_of(), False),
        (CardRequest(images=[Path("a.png")]), GIVEN, False),
    ],
)
def test_the_example_draws_images_where_it_runs_and_nobody_gave_any(request_, images, drawn):
    assert asked_of(request_, images).drawn == drawn


def test_the_example_asks_what_was_asked():
    asked = asked_of(CardRequest(text="go", state=[1.0, 2.0], unnorm_key="b", keep_images=True), GIVEN)
    assert asked == Asked(images=GIVEN.names, text="go", state=(1.0, 2.0), unnorm_key="b", drawn=False, kept=True)
    assert asked_of(CardRequest(), GIVEN).state is None and not asked_of(CardRequest(), GIVEN).kept


def test_a_card_says_whose_images_it_saw_and_where_they_lie():
    assert "with images of whoever made this card (`a.png` and `b.png`), which lie beside" in printed_text(GIVEN, True)
    assert ", which are not in this repository:" in printed_text(GIVEN, False)
    assert "with images that it draws itself" in printed_text(images_of(), False)
    assert f"transformers {executed_card.version('transformers')}, torch {executed_card.version('torch')}" in (
        printed_text(GIVEN, True)
    )


def test_a_card_is_text_with_lines_of_one_kind(tmp_path):
    assert card_in(tmp_path, "a\r\nö\n".encode()) == "a\nö\n"
    with pytest.raises(ConversionError, match=r"README\.md is not UTF-8"):
        card_in(tmp_path, "ö".encode("latin1"))


def test_pictures_that_are_shown_no_longer_are_those_of_cards_alone(tmp_path):
    for name in ("example_view_0.png", "example_view_1.png", "mine.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    (tmp_path / "prediction.png").write_bytes(b"somebody's own")
    known = "![](example_view_0.png) ![](mine.png) ![](prediction.png)"
    assert no_longer_shown(tmp_path, known) == ["example_view_0.png"]
    (tmp_path / "prediction.png").write_bytes(b"png " + PREDICTION_MARK.encode())
    assert no_longer_shown(tmp_path, "") == ["prediction.png"]


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize(("picture", "drawn"), [(None, None), (True, b"png"), (True, None)])
def test_what_was_seen_is_the_output_and_the_picture_where_there_is_one(keeps, picture, drawn, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(executed_card, "snippet", lambda *given: "code")
    monkeypatch.setattr(executed_card, "run_example", lambda *given: ran.append(given) or "tensor(1.)")
    monkeypatch.setattr(executed_card, "is_picture_wanted", lambda config, wanted: bool(wanted))
    monkeypatch.setattr(executed_card, "draw_example", lambda *given: drawn)
    (tmp_path / "a.png").write_bytes(b"image")
    images, request_ = images_of(**{"a.png": tmp_path / "a.png"}), CardRequest(keep_images=keeps, picture=picture)
    asked = asked_of(request_, images)
    files, seen = executed(tmp_path, ROBOT, request_, images, asked, "user/name")
    assert ran == [("code", tmp_path, "user/name", images.files, keeps)]
    assert files == ({"a.png": b"image"} if keeps else {}) | ({"prediction.png": drawn} if drawn else {})
    assert "tensor(1.)" in seen and ("](prediction.png)" in seen) == bool(drawn)
