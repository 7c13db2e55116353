"""Tensors that no training has reached, as reports tell of them. Nothing here is slow to import."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..configuration.vla_errors import ConversionError
from .files.report_form import load_report

MARK = "untrained"  # in a report
INITIALISED, CHANGED_LATER = "initialised", "changed after the conversion"  # operations in a report


class Untrained(NamedTuple):
    """What was never trained. names: of tensors; is_start: nothing else of the checkpoint was trained for it either."""

    names: Collection[str]
    is_start: bool


def untrained_in(report: Mapping[str, Any]) -> Untrained | None:
    """What a report says of its checkpoint; `None` where all was trained. What changed since was trained, and its layer
    with it."""
    operations = {name: entry.get("operation") for name, entry in (report.get("tensors") or {}).items()}
    changed = {layer_of(name) for name, operation in operations.items() if operation == CHANGED_LATER}
    new = {name for name, operation in operations.items() if operation == INITIALISED}
    mark = report.get(MARK) or {}
    names = {name for name in new.union(mark.get("tensors") or ()) if layer_of(name) not in changed}
    return Untrained(names, not changed and (bool(new) or bool(mark.get("is_start")))) if names else None


def renew_mark(report: dict[str, Any]) -> None:
    """Leave in the mark of a report what is still untrained, and no mark where nothing is."""
    left = untrained_in(report)
    if report.pop(MARK, None) and left:
        report[MARK] = {"tensors": sorted(left.names), "is_start": left.is_start}


def layer_of(name: str) -> str:
    """The layer of a stack that a tensor is in, up to its number; elsewhere the module."""
    words = name.split(".")
    numbers = [i for i, word in enumerate(words) if word.isdecimal()]
    return ".".join(words[: numbers[0] + 1] if numbers else words[:-1])


def untrained_of(folder: Path) -> Untrained | None:
    """What the report of a folder says; `None` without one that can be read."""
    try:
        return untrained_in(load_report(folder))
    except ConversionError:
        return None
