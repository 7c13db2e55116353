"""Wrong usage, completion in a shell, --quiet and exit codes of every command."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from vlahub.conversion import cli
from vlahub.conversion.cli import COMMANDS, main, merge_lora_main
from vlahub.conversion.commands.command import Command

# Every command with the fewest words that it takes.
CALLS = {
    "merge-lora": ["--adapter", "no/such/run", "--output", "out"],
    "convert": ["no/such/source", "out"],
    "create": ["--family", "cogvla", "--base", "no/such/base", "--output", "out"],
    "assemble": ["--family", "mapanything_llava3d", "--vision", "no/such/a", "--language", "no/b", "--output", "out"],
    "inspect": ["no/such/checkpoint"],
    "train": ["no/such/checkpoint", "--dataset", "no/such/data", "--output", "out"],
    "verify": ["no/such/checkpoint"],
    "predict": ["no/such/checkpoint"],
    "evaluate": ["no/such/checkpoint", "--dataset", "no/such/data"],
    "serve": ["no/such/checkpoint"],
    "stats": ["no/such/data", "--output", "out.json"],
    "data": ["convert", "no/such/data", "--from", "hdf5", "--output", "out"],
    "card": ["no/such/checkpoint"],
    "push": ["no/such/checkpoint", "user/name"],
}


def code_of(call, argv):
    """Of a command that ends by itself or by `SystemExit`."""
    try:
        return call(argv)
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def each(request, monkeypatch):
    """Replace what a command does: `each(command, action)`."""

    def replaced(command: str, action) -> list[str]:
        holder = cli.make_parser

        def parser(argv=()):
            made = holder(argv)
            parse = made.parse_args

            def parsed(words):
                arguments = parse(words)
                arguments.run = action
                return arguments

            made.parse_args = parsed
            return made

        monkeypatch.setattr(cli, "make_parser", parser)
        return [command, *CALLS[command]]

    return replaced


def test_every_command_has_a_call_here():
    assert COMMANDS.keys() <= CALLS.keys(), "a row of CALLS is missing"


@pytest.mark.parametrize("command", COMMANDS)
def test_exit_codes(command, each, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert code_of(main, [command, "--help"]) == 0
    assert code_of(main, [command]) == 2
    assert code_of(main, [command, *CALLS[command], "--no-such-option"]) == 2
    capsys.readouterr()

    def fails(arguments):
        raise ValueError("a reason")

    def is_interrupted(arguments):
        raise KeyboardInterrupt

    for action, code in ((lambda arguments: None, 0), (fails, 1), (is_interrupted, 130)):
        with monkeypatch.context():
            assert code_of(main, each(command, action)) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ValueError: a reason") and os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_quiet(command):
    arguments = cli.make_parser([command, *CALLS[command]]).parse_args([command, *CALLS[command], "--quiet"])
    assert arguments.quiet is True


def test_a_quiet_command_silences_the_bars_and_messages_of_libraries(each):
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    seen = []

    def look(arguments):
        seen.append((logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()))

    look(None)
    assert main([*each("verify", look), "--quiet"]) == 0
    look(None)
    assert seen[1] == (logging.ERROR, False, True) and seen[2] == seen[0]


def test_no_word_at_all_is_wrong_usage_that_is_answered_by_the_help(capsys):
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and all(name in printed.err for name in COMMANDS)


MEANT = [
    (main, ["verfy", "x"], "did you mean verify?"),
    (main, ["merge_lora"], "did you mean merge-lora?"),
    (main, ["data", "convrt"], "did you mean convert?"),
    (main, ["convert", "a", "b", "--dtype", "flot16"], "did you mean float16?"),
    (main, ["convert", "a", "b", "--familly", "cogvla"], "vlahub convert: error: unrecognized arguments: --familly"),
    (main, ["convert", "a", "b", "--familly=cogvla"], "did you mean --family?"),
    (main, ["stats", "data", "--ouput", "x"], "there is no option --ouput (did you mean --output?)"),
    (main, ["create", "--family", "cogvla", "--output", "x", "--flim"], "did you mean --film?"),
    (main, ["create", "--famly", "cogvla", "--output", "x"], "did you mean --family?"),
    (main, ["--verison"], "did you mean --version?"),
    (merge_lora_main, ["--adaptor", "x", "--output", "y"], "did you mean --adapter?"),
]


@pytest.mark.parametrize(("call", "argv", "words"), MEANT)
def test_wrong_usage_names_what_was_probably_meant(call, argv, words, capsys):
    assert code_of(call, argv) == 2
    printed = capsys.readouterr()
    assert words in printed.err and len(printed.err.splitlines()) == 2 and "--help` says" in printed.err


def test_wrong_usage_that_is_like_nothing_suggests_nothing(capsys):
    assert code_of(main, ["verify", "x", "--qqqqqqq"]) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        *[(command, "(x y z qw qx qy qz: w first)") for command in ("train", "evaluate")],
        ("predict", "ego_history_rot, matrices (poses, 3, 3)"),
    ],
)
def test_what_takes_rotations_says_in_which_form(command, said, capsys):
    assert code_of(main, [command, "--help"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_a_command_is_a_value():
    assert all(isinstance(replace(command), Command) for command in COMMANDS.values())


# Completion

COMPLETED = {
    "vlahub ver": ["verify"],
    "vlahub verify x --acc": ["--accept"],
    "vlahub convert a b --dtype bfl": ["bfloat16"],
    "vlahub data con": ["convert"],
    "vlahub create --family cogvla --agg": ["--aggregation-tokens"],
    "merge-lora --ada": ["--adapter"],
}


def completions(line, tmp_path):
    """What a shell is answered, as bash asks, with the modules that were imported for it."""
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\013", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    entry = "merge_lora_main" if line.startswith("merge-lora") else "main"
    code = (
        "import atexit, os, sys; from vlahub.conversion import cli, commands\n"
        "leave = os._exit\n"
        "def checked(code):\n"
        "    leave(3 if {'torch', 'transformers', 'numpy'} & set(sys.modules) else code)\n"
        f"os._exit = checked\ncli.{entry}()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sorted(word.strip() for word in answer.read_text().split("\013"))


@pytest.mark.parametrize("line", [*COMPLETED])
def test_a_shell_is_answered_without_importing_what_is_slow(line, tmp_path):
    assert completions(line, tmp_path) == COMPLETED[line]
