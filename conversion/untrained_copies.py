"""What a report is to say of copies of tensors that no training has reached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .tensors.plan import Plan, PlannedTensor, SourceTensor
from .untrained_tensors import MARK, Untrained, layer_of, untrained_of


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


def folder_of(tensor: PlannedTensor) -> Path | None:
    """That its source lies in; `None` where it is initialised."""
    return tensor.source.file.path.parent if isinstance(tensor.source, SourceTensor) else None
