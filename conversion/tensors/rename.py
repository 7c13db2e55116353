"""Renames are tables: rows of (pattern, replacement, reason), and one function that applies them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...configuration.vla_errors import ConversionError


class Row(NamedTuple):
    """A rule for the names that `pattern` matches whole.

    Attributes:
        replacement: the new name, with `\\1`, ... for groups; `None` for a tensor that the model has no use for.
        reason: one line for the report.
    """

    pattern: str
    replacement: str | None
    reason: str


class Renamed(NamedTuple):
    """The outcome for one name: its target, or `None`, and why."""

    target: str | None
    reason: str


def rename(key: str, table: Sequence[Row], file: str) -> Renamed:
    """Apply the first row that matches.

    Raises:
        ConversionError: no row matches; the message names the tensor and its file.
    """
    for row in table:
        if match := re.fullmatch(row.pattern, key):
            return Renamed(None if row.replacement is None else match.expand(row.replacement), row.reason)
    raise ConversionError(f"{file} holds the tensor {key}, which no known layout has.")
