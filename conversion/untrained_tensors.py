"""Tensors that no training has reached, as reports tell of them. Nothing here is slow to import."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..configuration.vla_errors import ConversionError
from .files.report_form import load_report

MARK = "untrained"  # in a report
INITIALISED = "initialised"


class Untrained(NamedTuple):
    """What was never trained. names: of tensors; is_start: nothing else of the checkpoint was trained for it either."""

    names: Collection[str]
    is_start: bool


def untrained_in(report: Mapping[str, Any]) -> Untrained | None:
    """What a report says of its checkpoint; `None` where all was trained."""
    new = {name for name, entry in (report.get("tensors") or {}).items() if entry.get("operation") == INITIALISED}
    mark = report.get(MARK) or {}
    names = new.union(mark.get("tensors") or ())
    return Untrained(names, bool(new) or bool(mark.get("is_start"))) if names else None


def untrained_of(folder: Path) -> Untrained | None:
    """What the report of a folder says; `None` without one that can be read."""
    try:
        return untrained_in(load_report(folder))
    except ConversionError:
        return None
