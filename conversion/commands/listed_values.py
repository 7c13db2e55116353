"""Options that take several values, given more than once."""

import argparse
from typing import Any


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
