"""Tensors that no training has reached: those of a start, and their copies in whatever is made of it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..configuration.vla_errors import ConversionError
from .files.file_kinds import REPORT_NAME
from .files.json_file import read_json
from .tensors.plan import Plan, PlannedTensor, SourceTensor

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


def untrained_mark(plan: Plan) -> dict[str, Any]:
    """What a report is to say of tensors that are copies, in whatever precision, of those that another report calls
    untrained; empty where the plan has none."""
    folders = {folder_of(tensor) for tensor in plan.tensors} - {None}
    said = {folder: found for folder in folders if (found := untrained_of(folder))}
    copies, others = [], set()
    for tensor in plan.tensors:
        if not tensor.steps and is_in(tensor, said):
            copies.append(tensor.name)
        else:
            others.add(layer_of(tensor.name))
    is_copy = len(folders) == 1 and not any(tensor.steps for tensor in plan.tensors)
    if not is_copy:  # a layer of which some was trained has learnt to live with the rest
        copies = [name for name in copies if layer_of(name) not in others]
    if not copies:
        return {}
    return {MARK: {"tensors": sorted(copies), "is_start": is_copy and next(iter(said.values())).is_start}}


def is_in(tensor: PlannedTensor, said: Mapping[Path | None, Untrained]) -> bool:
    found = said.get(folder_of(tensor))
    return found is not None and tensor.source.key in found.names


def layer_of(name: str) -> str:
    """The layer of a stack that a tensor is in, up to its number; elsewhere the module."""
    words = name.split(".")
    numbers = [i for i, word in enumerate(words) if word.isdecimal()]
    return ".".join(words[: numbers[0] + 1] if numbers else words[:-1])


def folder_of(tensor: PlannedTensor) -> Path | None:
    """That its source lies in; `None` where it is initialised."""
    return tensor.source.file.path.parent if isinstance(tensor.source, SourceTensor) else None


def untrained_of(folder: Path) -> Untrained | None:
    """What the report of a folder says; `None` without one that can be read."""
    try:
        report = read_json([folder], REPORT_NAME, required=False)
    except ConversionError:
        return None
    return untrained_in(report or {})
