"""Several values given in several occurrences of an option are all meant; of one value the last counts, as anywhere."""

import pytest

from vlahub.conversion.cli import make_parser

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
