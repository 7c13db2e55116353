"""What a target of fuzzing is: something valid, random changes of it, and the part of the product that reads it."""

import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from vlahub.errors import VLAError

INPUT = "input.pickle"  # of targets that hand over values and no files


class Target:
    """One kind of input.

    Attributes:
        name: on the command line.
        slice: how many cases run with every test run.
    """

    name: str
    slice: int = 20

    def prepare(self, folder: Path) -> None:
        """Make what is valid, once, before any case."""

    def change(self, random: Random, folder: Path) -> str:
        """Put a changed input into an empty folder; says what was changed."""
        raise NotImplementedError

    def run(self, folder: Path, output: Path) -> None:
        """Hand the input over.

        output: what may be written; all other folders stay as they are.

        Raises:
            VLAError: the input is refused, which is right.
            Exception: any other is a fault, and so is an AssertionError about the answer.
        """
        raise NotImplementedError


def keep(value: Any, folder: Path) -> None:
    """Put a value into a folder, for `kept`."""
    (folder / INPUT).write_bytes(pickle.dumps(value))


def kept(folder: Path) -> Any:
    return pickle.loads((folder / INPUT).read_bytes())


def accepted(read: Callable[[], Any]) -> Any:
    """What a reader gives; `None` where it refuses the input by a named error."""
    try:
        return read()
    except VLAError:
        return None
