"""An argument parser whose errors are short and name what was probably meant."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from .listed_values import ListedValues, advice_on_commas

# What other programs call an option; those of our names that a command has are meant.
OTHER_WORDS = {
    "--branch": ["--revision"],
    "--tag": ["--revision"],
    "--gpu": ["--device"],
    "--cuda": ["--device"],
    "--bf16": ["--dtype"],
    "--fp16": ["--dtype"],
    "--force": ["--overwrite"],
    "--out": ["--output"],
    "-o": ["--output"],
    "--prompt": ["--instruction", "--text"],
    "--task": ["--instruction", "--text"],
    "--lora": ["--adapter"],
    "--verbose": ["--debug"],
    "--plot": ["--picture"],
    "--num-trajectories": ["--num-traj-samples"],
    "--token": [],
}
ADVICE = {"--token": "log in with `hf auth login`, or set HF_TOKEN"}
CLOSE, CLOSER = 0.6, 0.8  # how like a known option one must be; the latter where something else has it as it is
ABOUT_NAMES = ("unrecognized arguments", "the following arguments are required")  # how argparse begins
KINDS = {int: "a whole number", float: "a number"}


class SuggestingParser(argparse.ArgumentParser):
    """Options are never abbreviated; wrong usage is two lines on stderr and exit code 2.

    An option of several values can be given several times, see `ListedValues`.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **settings)
        for stored in (None, "store"):
            self.register("action", stored, ListedValues)
        self.words: Sequence[str] = ()
        self.elsewhere: Callable[[str], str] = lambda option: ""  # what else has an option, in words; empty for nothing

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        self.words = list(args or ())
        for action in self._actions:
            if isinstance(action, ListedValues):
                action.given = []
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:  # here, and not by the parser above, which knows none of its options
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self.advice_on(unknown)}")
        return found, unknown

    def advice_on(self, unknown: Sequence[str]) -> str:
        """Behind words that are no options: the rest of a value without quotes, or one argument too many."""
        if any(word.startswith("-") for word in unknown):
            return ""
        place = self.words.index(unknown[0])
        if any(word.startswith("-") for word in self.words[max(place - 2, 0) : place]):
            return " (a value of several words is put in quotes)"
        named = [str(a.metavar or a.dest) for a in self._actions if not a.option_strings]
        return f" (beside options it takes {' and '.join(named)} alone)"

    def error(self, message: str) -> NoReturn:
        unknown = self.unknown_options() if message.startswith(ABOUT_NAMES) else []
        unnamed = [option for option in unknown if option not in message.split()]
        if unnamed:  # argparse tells first of an option that is missing, as it is when its name was misspelt
            message += f"; there is no option {', '.join(unnamed)}"
        message += self.meant(unknown)
        usage = f"usage: {self.prog} ... (`{self.prog} --help` says what it takes)"
        self.exit(2, f"{usage}\n{self.prog}: error: {message}\n")

    def meant(self, unknown: Sequence[str]) -> str:
        """What to say about options that this parser does not know."""
        for option in unknown:
            known = [name for name in OTHER_WORDS.get(option, ()) if name in self._option_string_actions]
            if known or option in ADVICE:
                return f" (did you mean {known[0]}?)" if known else f" ({ADVICE[option]})"
        elsewhere = [words for option in unknown if (words := self.elsewhere(option))]
        close = did_you_mean(unknown, self._option_string_actions, CLOSER if elsewhere else CLOSE)
        return close + "".join(f" ({words})" for words in elsewhere)

    def unknown_options(self) -> list[str]:
        """What this parser was given and does not know; behind the name of a command its own parser looks."""
        commands = next((a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction)), {})
        found = []
        for word in self.words:
            if word in commands or word == "--":
                break
            option = word.partition("=")[0]
            if (option.startswith("--") or word in OTHER_WORDS) and option not in self._option_string_actions:
                found.append(option)
        return found

    def _get_value(self, action: argparse.Action, text: str) -> Any:
        if advice := advice_on_commas(action, text):
            raise argparse.ArgumentError(action, f"{text!r} is no file or folder; {advice}")
        try:
            return super()._get_value(action, text)
        except argparse.ArgumentError as error:
            kind = KINDS.get(action.type)
            if kind is None or error.message != f"invalid {action.type.__name__} value: {text!r}":
                raise
            several = "; put spaces between several" if action.nargs and "," in text else ""
            raise argparse.ArgumentError(action, f"{text!r} is not {kind}{several}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            close = did_you_mean([str(value)], map(str, action.choices or ()))
            raise argparse.ArgumentError(action, error.message + close) from None


def did_you_mean(words: Iterable[str], known: Iterable[str], cutoff: float = CLOSE) -> str:
    """`` (did you mean --output?)`` for the words that are close to a known one, else nothing."""
    known = list(known)
    close = [match for word in words for match in get_close_matches(word.lower(), known, 1, cutoff)]
    return f" (did you mean {', '.join(close)}?)" if close else ""
