"""One command of the command line as a value, and what its `--help` looks like."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


@dataclass(frozen=True)
class Command:
    """What a command says of itself, takes and does.

    Attributes:
        summary: a few words for the list of commands.
        text: sentences: what it does and what it needs.
        example: a command line that works, without the name of the program.
        add_arguments: declares its options; imports nothing slow, as `--help` is quick.
        add_further: declares those that depend on others that are given, from the words of the command line.
        add_debug: declares `--debug`.
        run: carries it out; it imports what is slow, under `ending_at_interrupt`.
    """

    summary: str
    text: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    add_further: Callable[[argparse.ArgumentParser, Sequence[str]], None] = lambda parser, argv: None
    add_debug: Callable[[argparse.ArgumentParser], None] = add_debug

    def settings(self, program: str = "vlahub ") -> dict:
        """Keyword arguments of its parser."""
        return {
            "description": self.text,
            "epilog": f"example:\n  {program}{self.example}\n\n"
            "exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 interrupted",
            "formatter_class": SentencesThenExample,
        }

    def complete(self, parser: argparse.ArgumentParser, argv: Sequence[str] = ()) -> None:
        """Declare all options, and what carries the command out.

        argv: the words of the command line that will be parsed.
        """
        self.add_arguments(parser)
        self.add_further(parser, argv)
        self.add_debug(parser)
        parser.set_defaults(run=self.run)


class SentencesThenExample(argparse.HelpFormatter):
    """Wraps the description, and leaves the lines of an example as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)
