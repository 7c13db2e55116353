"""Several values given in several occurrences of an option are all meant; of one value the last counts, as anywhere."""

import argparse
from pathlib import Path

import pytest

from vlahub.conversion.cli import make_parser
from vlahub.conversion.commands.listed_values import advice_on_commas

PREDICT = ["predict", "my-vla", "--instruction", "pick"]


@pytest.mark.parametrize(
    "words, images",
    [
        (["--images", "a.png", "b.png"], ["a.png", "b.png"]),
        (["--images", "a.png", "--images", "b.png"], ["a.png", "b.png"]),
        (["--images=a.png", "--device", "cpu", "--images", "b.png", "c.png"], ["a.png", "b.png", "c.png"]),
    ],
)
def test_values_of_all_occurrences_are_kept_in_their_order(words, images):
    parser = make_parser(["predict"])
    for _ in range(2):  # a parser can be asked twice
        assert list(map(str, parser.parse_args([*PREDICT, *words]).images)) == images


def test_no_list_is_left_from_one_parse_to_the_next():
    words = ["train", "my-vla", "--dataset", "table", "--output", "run"]
    parser = make_parser(words)
    assert parser.parse_args([*words, "--action", "arm", "--action", "hand"]).action == ["arm", "hand"]
    assert not hasattr(parser.parse_args(words), "action")


def test_of_an_option_of_one_value_the_last_counts():
    arguments = make_parser(["predict"]).parse_args([*PREDICT, "--device", "cuda", "--device", "cpu"])
    assert arguments.device == "cpu"


SEVERAL = "put spaces between several: "


@pytest.mark.parametrize(
    ("settings", "text", "advice"),
    [
        ({"nargs": "+", "type": Path}, "x.png,y.png", f"{SEVERAL}x.png y.png"),
        ({"nargs": "+", "type": Path}, "top=x.png,y.png,", f"{SEVERAL}top=x.png y.png"),
        ({"nargs": "*", "type": Path}, "x.png,y.png", f"{SEVERAL}x.png y.png"),
        ({"action": "append", "type": Path}, "x.png,y.png", "give --option for each of several"),
        ({"action": "append"}, "here,there.txt", "give --option for each of several"),
        ({"nargs": "+"}, "here,there.txt", f"{SEVERAL}here there.txt"),
        ({"nargs": "+"}, "one=here,two=there.txt", f"{SEVERAL}one=here two=there.txt"),
        ({"nargs": "+"}, "here,nowhere", ""),
        ({"nargs": "+"}, "x.png,y.png", ""),  # which may be words
        ({"nargs": "+", "type": Path}, "x.png,y.jpg", ""),
        ({"nargs": "+", "type": Path}, "x,y", ""),
        ({"nargs": "+", "type": Path}, "x.png,", ""),
        ({"nargs": "+", "type": Path}, "with,comma.png", ""),
        ({"type": Path}, "x.png,y.png", ""),
    ],
)
def test_paths_with_commas_between_them_are_told_how_several_are_given(settings, text, advice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("here", "there.txt", "with,comma.png", "with", "comma.png"):
        (tmp_path / name).touch()
    action = argparse.ArgumentParser().add_argument("--option", **settings)
    assert advice_on_commas(action, text) == advice
