"""Completion of commands, options and their values in a shell, by argcomplete (extra `terminal`).

The shell runs the program anew at each press of the tab key, with the line so far in `COMP_LINE`.
"""

import argparse
import os
import shlex
from contextlib import suppress

ASKED = "_ARGCOMPLETE"


def words_before_the_cursor() -> list[str]:
    """The line that a shell wants completed, without the program; `[]` where it asks for nothing."""
    line = os.environ.get("COMP_LINE", "") if ASKED in os.environ else ""
    try:
        return shlex.split(line)[1:]
    except ValueError:  # within a quotation
        return line.split()[1:]


def completed(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks, and end the process; else do nothing."""
    if ASKED in os.environ:
        with suppress(ImportError):
            from argcomplete import autocomplete

            autocomplete(parser)
