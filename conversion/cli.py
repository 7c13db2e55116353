# PYTHON_ARGCOMPLETE_OK
"""The command line: `vlahub COMMAND`, and `merge-lora` by itself.

Exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 interrupted.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version

from .commands.card import CARD
from .commands.completion import completed, words_before_the_cursor
from .commands.convert import CONVERT
from .commands.create import ASSEMBLE, CREATE, families_with
from .commands.data import DATA
from .commands.error_boundary import ending_at_interrupt, run
from .commands.evaluate import EVALUATE
from .commands.inspect import INSPECT
from .commands.merge_lora import MERGE_LORA
from .commands.predict import PREDICT
from .commands.push import PUSH
from .commands.serve import SERVE
from .commands.stats import STATS
from .commands.suggesting_parser import SuggestingParser
from .commands.train import TRAIN
from .commands.verify import VERIFY
from .files.given_paths import check_not_empty
from .terminal import quiet_libraries

COMMANDS = {
    "merge-lora": MERGE_LORA,
    "convert": CONVERT,
    "create": CREATE,
    "assemble": ASSEMBLE,
    "inspect": INSPECT,
    "train": TRAIN,
    "verify": VERIFY,
    "predict": PREDICT,
    "evaluate": EVALUATE,
    "serve": SERVE,
    "stats": STATS,
    "data": DATA,
    "card": CARD,
    "push": PUSH,
}


SHOWN = 3


def main(argv: Sequence[str] | None = None) -> int:
    """`vlahub`; without a word its help, as wrong usage."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser(words_before_the_cursor() or argv)
    completed(parser)
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    return dispatched(parser, argv)


def merge_lora_main(argv: Sequence[str] | None = None) -> int:
    """`merge-lora`, the same as `vlahub merge-lora`."""
    parser = SuggestingParser(prog="merge-lora", **MERGE_LORA.settings(program=""))
    add_version(parser)
    MERGE_LORA.complete(parser)
    completed(parser)
    return dispatched(parser, sys.argv[1:] if argv is None else list(argv))


def make_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `vlahub`; argv: what it will parse, see `Command.complete`."""
    parser = SuggestingParser(
        prog="vlahub",
        description="Turn trained vision-language-action models into Hugging Face Hub checkpoints.",
        epilog="`vlahub COMMAND --help` says what a command needs, with an example.",
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.complete(commands.add_parser(name, help=command.summary, **command.settings()), argv)
    for name, each in commands.choices.items():
        each.elsewhere = partial(owners, commands.choices, name)
    return parser


def owners(parsers: Mapping[str, argparse.ArgumentParser], command: str, option: str) -> str:
    """Who has an option that the parser of a command does not know: another family of the command, or others."""
    families = families_with(command, option)
    if families:
        return f"{option} is an option of --family {' and of '.join(families)}"
    found = [name for name, parser in parsers.items() if option in parser._option_string_actions]
    if not 0 < len(found) <= SHOWN:  # what most commands have is missing here for a reason
        return ""
    return f"vlahub {' and '.join(found)} {'has' if len(found) == 1 else 'have'} {option}"


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"vlahub {version('vlahub')}")


def dispatched(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Parse, and carry out the command; returns its exit code."""

    def command(arguments: argparse.Namespace) -> None:
        check_not_empty(argv)
        with ending_at_interrupt():
            libraries = quiet_libraries() if getattr(arguments, "quiet", False) else nullcontext()
        with libraries:
            arguments.run(arguments)

    with ending_at_interrupt():
        arguments = parser.parse_args(argv)
        arguments.command_line = shlex.join([parser.prog, *argv])  # one text: its words are no paths to be checked
    return run(command, arguments)


if __name__ == "__main__":
    sys.exit(main())
