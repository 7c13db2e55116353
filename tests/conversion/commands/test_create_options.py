"""`vlahub create` has the options of the family that its command line names, however it names it."""

import pytest

from vlahub.conversion.cli import make_parser
from vlahub.conversion.commands.create import families_with
from vlahub.conversion.families import FAMILIES

START = ["--base", "b", "--output", "out"]


def parsed(*words):
    return make_parser(["create", *words]).parse_args(["create", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--family", "alpamayo_r1", *START],
        ["--family=alpamayo_r1", *START],
        [*START, "--family=alpamayo_r1"],
        ["--family", "cogvla", *START, "--family", "alpamayo_r1"],
    ],
)
def test_the_options_are_those_of_the_family_that_is_named_last(words, capsys):
    found = parsed(*words, "--history-bins", "5")
    assert (found.family, found.history_bins, found.base, found.adapter) == ("alpamayo_r1", 5, "b", [])
    assert (found.device, str(found.output)) == ("cpu", "out")
    with pytest.raises(SystemExit):
        parsed(*words, "--film")


def test_families_that_have_no_start_are_no_choice(capsys):
    starts = {name for name, family in FAMILIES.items() if "create" in family.arguments}
    assert "cogvla" in starts and "generic" not in starts
    for name in (*set(FAMILIES) - starts, "nobodys"):
        for words in (["--family", name], [f"--family={name}"]):
            with pytest.raises(SystemExit) as stopped:
                parsed(*words, *START)
            assert stopped.value.code == 2 and "invalid choice" in capsys.readouterr().err


def test_a_start_has_no_base_unless_its_family_asks_for_one():
    words = ["--family", "mapanything_llava3d", "--vision", "v", "--language", "l", "--output", "out"]
    assert make_parser(["assemble", *words]).parse_args(["assemble", *words]).base is None


def test_an_option_is_told_with_the_families_that_have_it():
    assert families_with("create", "--history-bins") == ["alpamayo_r1"]
    assert families_with("create", "--no-such-option") == []
    assert set(families_with("create", "--base")) >= {"cogvla", "alpamayo_r1"}
