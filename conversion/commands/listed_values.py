"""Options that take several values, given more than once."""

import argparse
from pathlib import Path
from typing import Any

from ..files.given_paths import exists


class ListedValues(argparse._StoreAction):
    """What argparse does where an option is stored, but that one of several values keeps those it was given before.

    argparse itself keeps the last occurrence alone, so that `--images a.png --images b.png` would be one image.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.given: list[Any] = []

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if option_string is not None and isinstance(values, list):
            self.given = values = [*self.given, *values]
        super().__call__(parser, namespace, values, option_string)


def advice_on_commas(action: argparse.Action, text: str) -> str:
    """How paths are given that stand in one word, with commas between them; nothing for any other word.

    That they are paths is known where each of them is there, or where the option takes paths and all end alike.
    """
    takes_several = action.nargs in ("+", "*") or isinstance(action, argparse._AppendAction)
    parts = [part for part in text.split(",") if part]
    if not takes_several or len(parts) < 2 or exists(Path(text)):
        return ""
    paths = [Path(part.partition("=")[2] or part) for part in parts]
    ends = {path.suffix for path in paths}
    if not all(map(exists, paths)) and not (action.type is Path and len(ends) == 1 and "" not in ends):
        return ""
    if action.nargs:
        return f"put spaces between several: {' '.join(parts)}"
    return f"give {action.option_strings[0]} for each of several"
