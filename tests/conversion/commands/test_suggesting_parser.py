"""Wrong usage is answered with what was probably meant, and with nothing where that cannot be known."""

import pytest

from vlahub.conversion.commands.suggesting_parser import SuggestingParser

TRAIN_HAS_IT = "vlahub train has it"


def said(capsys, *argv, elsewhere=""):
    parser = SuggestingParser(prog="x")
    parser.elsewhere = lambda option: elsewhere
    parser.add_argument("ckpt", nargs="*" if "--" in argv else None)
    parser.add_argument("--output", required=True)
    parser.add_argument("--device")
    parser.add_argument("--revision")
    parser.add_argument("--count", type=int)
    parser.add_argument("--share", type=float, nargs="+")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(argv)
    assert stopped.value.code == 2
    usage, error = capsys.readouterr().err.splitlines()
    assert usage == "usage: x ... (`x --help` says what it takes)"
    return error.removeprefix("x: error: ")


OUT = ("c", "--output", "o")
CASES = {
    (*OUT, "--device", "the", "bowl"): "unrecognized arguments: bowl (a value of several words is put in quotes)",
    (*OUT, "--device", "a", "b", "c"): "unrecognized arguments: b c (a value of several words is put in quotes)",
    ("c", "d", *OUT[1:]): "unrecognized arguments: d (beside options it takes ckpt alone)",
    (*OUT, "--devise", "d"): "unrecognized arguments: --devise d (did you mean --device?)",
    (*OUT, "--bogus", "d"): "unrecognized arguments: --bogus d",
    (*OUT, "--tag", "v1"): "unrecognized arguments: --tag v1 (did you mean --revision?)",
    (*OUT, "--token", "t"): "unrecognized arguments: --token t (log in with `hf auth login`, or set HF_TOKEN)",
    (*OUT, "--prompt", "t"): "unrecognized arguments: --prompt t",
    ("c", "-o", "x"): "the following arguments are required: --output; there is no option -o (did you mean --output?)",
    ("c", "--outlet=x"): "the following arguments are required: --output; there is no option --outlet "
    "(did you mean --output?)",
    ("--", "--outlet"): "the following arguments are required: --output",
    (*OUT, "--count", "two"): "argument --count: 'two' is not a whole number",
    (*OUT, "--share", "0.1,0.2"): "argument --share: '0.1,0.2' is not a number; put spaces between several",
}


@pytest.mark.parametrize("argv", CASES, ids=" ".join)
def test_wrong_usage_is_two_lines_with_what_was_meant(argv, capsys):
    assert said(capsys, *argv) == CASES[argv]


def test_a_value_that_is_almost_a_choice_is_told_of_it_and_no_option_is_abbreviated(capsys):
    assert said(capsys, *OUT, "--dtype", "float23").endswith(" (did you mean float32?)")
    assert said(capsys, *OUT, "--dev", "cpu").startswith("unrecognized arguments: --dev cpu")


def test_an_option_of_another_command_is_said_to_be_one_unless_it_is_almost_one_of_this(capsys):
    for option, is_meant in {"--outlet": False, "--outputs": True}.items():
        found = said(capsys, *OUT, option, "x", elsewhere=TRAIN_HAS_IT)
        assert found.endswith(f"({TRAIN_HAS_IT})") and ("did you mean --output?" in found) == is_meant
