"""An argument parser whose errors are short and name what was probably meant."""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class SuggestingParser(argparse.ArgumentParser):
    """Options are never abbreviated; wrong usage is two lines on stderr and exit code 2."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **settings)
        self.words: Sequence[str] = ()

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        self.words = list(args or ())
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:  # here, and not by the parser above, which knows none of its options
            loose = not any(word.startswith("-") for word in unknown)
            advice = " (a value of several words is put in quotes)" if loose else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{advice}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        unknown = self.unknown_options()
        unnamed = [option for option in unknown if option not in message.split()]
        if unnamed:  # argparse tells first of an option that is missing, as it is when its name was misspelt
            message += f"; there is no option {', '.join(unnamed)}"
        message += did_you_mean(unknown, self._option_string_actions)
        usage = f"usage: {self.prog} ... (`{self.prog} --help` says what it takes)"
        self.exit(2, f"{usage}\n{self.prog}: error: {message}\n")

    def unknown_options(self) -> list[str]:
        """What this parser was given and does not know; behind the name of a command its own parser looks."""
        commands = next((a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction)), {})
        found = []
        for word in self.words:
            if word in commands or word == "--":
                break
            option = word.partition("=")[0]
            if option.startswith("--") and option not in self._option_string_actions:
                found.append(option)
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            close = did_you_mean([str(value)], map(str, action.choices or ()))
            raise argparse.ArgumentError(action, error.message + close) from None


def did_you_mean(words: Iterable[str], known: Iterable[str]) -> str:
    """`` (did you mean --output?)`` for the words that are close to a known one, else nothing."""
    known = list(known)
    close = [match for word in words for match in get_close_matches(word.lower(), known, 1)]
    return f" (did you mean {', '.join(close)}?)" if close else ""
