"""The command line as a whole: help, version, exit codes, interrupts."""

import argparse
import builtins
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from vlahub.configuration.mapanything_llava3d.configuration_dit_action_head import CHOICES as DIT_CHOICES
from vlahub.configuration.mapanything_llava3d.configuration_mapanything_llava3d import CHOICES as LLAVA3D_CHOICES
from vlahub.configuration.normalization_statistics import STATISTICS
from vlahub.conversion import cli
from vlahub.conversion.cli import COMMANDS, main, merge_lora_main
from vlahub.conversion.cogvla import options as cogvla_options
from vlahub.conversion.commands import error_boundary, shared_arguments, stats
from vlahub.conversion.commands.error_boundary import ending_at_interrupt, run
from vlahub.conversion.mapanything_llava3d import options as llava3d_options
from vlahub.conversion.publishing import published_card
from vlahub.conversion.shared_options import NORMALIZATIONS
from vlahub.errors import InputError
from vlahub.processing.cogvla.image_processing_cogvla import IMAGE_RESIZES
from vlahub.training.statistics import EXACT_ROWS

REQUIRED = {
    "merge-lora": ("--adapter", "--output"),
    "convert": ("SOURCE", "OUTPUT"),
    "create": ("--family", "--output"),
    "assemble": ("--family", "--vision", "--language", "--output"),
    "inspect": ("CKPT",),
    "train": ("CKPT", "--dataset", "--output"),
    "verify": ("CKPT",),
    "predict": ("CKPT", "--images", "--instruction", "--history"),
    "evaluate": ("CKPT", "--dataset"),
    "serve": ("CKPT",),
    "stats": ("DATASET", "--output"),
    "data": ("convert",),
    "card": ("CKPT",),
    "push": ("CKPT", "user/name"),
}


def stopped(call, argv):
    with pytest.raises(SystemExit) as stop:
        call(argv)
    return stop.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_in_sentences_what_is_required_with_an_example_that_parses(command, capsys):
    assert stopped(main, [command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"\nexample:\n  vlahub {COMMANDS[command].example}\n" in shown  # one line, to be copied
    text = " ".join(shown.split())
    sentences = " ".join(COMMANDS[command].text.split())
    assert sentences in text and sentences.endswith(".") and "Required" in sentences
    assert all(name in sentences for name in REQUIRED[command])
    assert f"example: vlahub {command} " in text and "--debug" in text
    example = COMMANDS[command].example.replace('"pick up the bowl"', "pick").split()
    arguments = cli.make_parser(example).parse_args(example)
    assert arguments.debug is False and arguments.run is COMMANDS[command].run


def test_the_commands_of_the_help_are_those_there_are(capsys):
    assert set(COMMANDS) == set(REQUIRED)
    assert stopped(main, ["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("call", [main, merge_lora_main])
def test_version(call, capsys):
    assert stopped(call, ["--version"]) == 0
    assert capsys.readouterr().out.startswith("vlahub ")


@pytest.mark.parametrize(
    "argv",
    [
        ["convert", "source", "--output", "X"],
        ["convert", "source", "out", "--pixel", "unit"],
        ["merge-lora", "--adapter", "run", "--out", "x"],
        ["stats", "data", "--out", "x"],
        ["push", "ckpt", "a/b", "--priv"],
        ["predict", "ckpt", "--image", "x.png"],
        ["--vers"],
    ],
)
def test_no_option_is_abbreviated(argv, capsys):
    assert stopped(main, argv) == 2
    assert "usage: vlahub" in capsys.readouterr().err


def test_choices_on_the_command_line_are_those_of_the_code():
    """They are written down twice, as the modules that define them are slow to import."""
    assert tuple(STATISTICS) == NORMALIZATIONS
    assert shared_arguments.CARDS == (published_card.KEEP, published_card.RENEW)
    assert IMAGE_RESIZES == cogvla_options.IMAGE_RESIZES
    assert {name: LLAVA3D_CHOICES[name] for name in llava3d_options.CHOICES} == llava3d_options.CHOICES
    assert {name: DIT_CHOICES[name] for name in llava3d_options.DIT_CHOICES} == llava3d_options.DIT_CHOICES
    assert stats.EXACT_ROWS == EXACT_ROWS


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["merge-lora", "--adapter", "run", "--output", ""], "the value of --output is empty"),
        (["merge-lora", "--base=", "--adapter", "run", "--output", "x"], "the value of --base is empty"),
        (["merge-lora", "--adapter", "run", "--output", "x", "--push-to-hub", ""], "--push-to-hub is empty"),
        (["convert", "", "out"], "an argument is empty"),
        (["verify", ""], "an argument is empty"),
        (["predict", "ckpt", "--images", "a.png", ""], "an argument is empty"),
        (["push", "", "user/name"], "an argument is empty"),
    ],
)
def test_an_empty_value_is_a_variable_that_is_not_set(argv, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 1
    assert words in capsys.readouterr().err and os.listdir(tmp_path) == []


# Errors


def failing(error):
    def action(arguments):
        raise error

    return action


class PanicException(BaseException):
    """As pyo3 raises it."""


ERRORS = {
    "ours": (InputError("--state is\n  no state."), "error: --state is no state.\n"),
    "of the system": (FileNotFoundError(2, "No such file", "x"), "error: [Errno 2] No such file: 'x'\n"),
    "of the system without a number": (OSError("no luck"), "error: OSError: no luck (--debug shows where)\n"),
    "of a pipe that is a file": (BrokenPipeError(32, "Broken pipe", "x"), "error: [Errno 32] Broken pipe: 'x'\n"),
    "memory": (MemoryError(), "error: there is not enough memory for this.\n"),
    "recursion": (RecursionError("too deep"), "error: RecursionError: too deep (--debug shows where)\n"),
    "without a text": (EOFError(), "error: EOFError (--debug shows where)\n"),
    "of several lines": (KeyError("a"), "error: KeyError: 'a' (--debug shows where)\n"),
    "a panic": (
        PanicException("index out of range"),
        "error: PanicException: index out of range (--debug shows where)\n",
    ),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_every_failure_is_one_line_and_1(kind, capsys):
    error, line = ERRORS[kind]
    assert run(failing(error), argparse.Namespace(debug=False)) == 1
    assert capsys.readouterr().err == line


def test_of_a_pipe_alone_stdout_is_asked_whether_anybody_reads_it(monkeypatch, capsys):
    for is_closed, said in ((True, ""), (False, "error: [Errno 32] Broken pipe\n")):
        monkeypatch.setattr(error_boundary, "stdout_is_closed", lambda is_closed=is_closed: is_closed)
        assert run(failing(BrokenPipeError(32, "Broken pipe")), argparse.Namespace()) == 1
        assert capsys.readouterr().err == said


def test_debug_shows_the_traceback(capsys):
    assert run(failing(KeyError("a")), argparse.Namespace(debug=True)) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "in action" in shown and shown.endswith("error: KeyError: 'a'\n")


def test_what_ends_a_process_on_purpose_is_no_failure():
    with pytest.raises(SystemExit):
        run(failing(SystemExit(3)), argparse.Namespace())


# Interrupts


def interrupted(change):
    def action(arguments):
        change()
        raise KeyboardInterrupt

    return action


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: None, "interrupted; nothing was left behind\n"),
        (lambda folder: (folder / "out").mkdir(), "out was written before\n"),
        (lambda folder: (folder / ".out.partial").mkdir(), r".out.partial is left, and can be removed"),
        (lambda folder: (folder / "picture.png").write_text(""), "picture.png was written before"),
    ],
)
def test_an_interrupt_says_what_is_left(change, words, tmp_path, capsys):
    arguments = argparse.Namespace(output=tmp_path / "out", plot=tmp_path / "picture.png")
    assert run(interrupted(lambda: change(tmp_path)), arguments) == 130
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("given", [{"repo_id": "user/name"}, {"repo_id": None, "push_to_hub": "user/name"}])
def test_an_interrupt_during_an_upload_promises_nothing(given, capsys):
    assert run(interrupted(lambda: None), argparse.Namespace(**given)) == 130
    assert "what was uploaded to user/name by then, its page on the Hub says" in capsys.readouterr().err


def test_an_interrupt_names_what_was_written_anew_and_nothing_that_was_there(tmp_path, capsys):
    arguments = argparse.Namespace(output=tmp_path / "new.json", plot=tmp_path / "old.png")
    for path in (arguments.output, arguments.plot):
        path.write_text("former")
        os.utime(path, (1, 1))
    assert run(interrupted(lambda: arguments.output.write_text("changed")), arguments) == 130
    assert capsys.readouterr().err == f"interrupted; {arguments.output} was written before\n"
    assert run(lambda arguments: None, argparse.Namespace(output=Path("no\0name"), plot=Path("x" * 5000))) == 0


def test_an_interrupt_with_words_of_its_own_says_them(capsys):
    assert run(failing(KeyboardInterrupt("checkpoint-2 is saved")), argparse.Namespace()) == 130
    assert capsys.readouterr().err == "checkpoint-2 is saved\n"


def child_of(work):
    """The exit code and stderr of a process that does `work`."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 2)
        try:
            work()
        finally:
            os._exit(77)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@pytest.mark.parametrize("length", [1, 100_000])  # what a buffer holds is written at the end
def test_output_that_nobody_reads_any_more_is_no_error(length):
    """`vlahub predict ... | head -1`."""

    def work():
        read, write = os.pipe()
        os.close(read)
        sys.stdout = os.fdopen(write, "w")
        os._exit(run(lambda arguments: print("x" * length), argparse.Namespace()))

    assert child_of(work) == (1, "")


def test_a_pipe_is_closed_once_nobody_reads_it():
    def work():
        read, write = os.pipe()
        sys.stdout = os.fdopen(write, "w")
        before = error_boundary.stdout_is_closed()
        os.close(read)
        os._exit([before, error_boundary.stdout_is_closed()] != [False, True])

    assert child_of(work) == (0, "")


def test_an_interrupt_during_start_up_ends_quietly():
    def starting():
        with ending_at_interrupt():
            os.kill(os.getpid(), signal.SIGINT)

    assert child_of(starting) == (130, "interrupted; nothing was left behind\n")


@pytest.mark.parametrize(
    "command",
    ["verify x", "convert a b", "push a b/c", "predict x", "stats a --output b.json", "train a --dataset . --output b"],
)
def test_an_interrupt_while_a_command_imports_what_is_slow_ends_quietly(command):
    def importing():
        find = builtins.__import__

        def interrupted(name, names=None, *more):
            if names and names["__name__"].startswith("vlahub.conversion.commands"):
                os.kill(os.getpid(), signal.SIGINT)
            return find(name, names, *more)

        builtins.__import__ = interrupted
        main(command.split())

    assert child_of(importing) == (130, "interrupted; nothing was left behind\n")


def test_start_up_in_another_thread_handles_no_interrupts():
    found = []

    def starting():
        with ending_at_interrupt():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=starting)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)] and found != [error_boundary.end_process]


def test_start_up_leaves_the_handling_of_interrupts_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with ending_at_interrupt():
        assert signal.getsignal(signal.SIGINT) is error_boundary.end_process
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
    try:
        with ending_at_interrupt():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
