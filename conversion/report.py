"""The plan as text for people and as `conversion_report.json` for machines."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .files.file_hashes import report_text
from .files.file_kinds import REPORT_NAME, LeftBehind
from .tensors.plan import Leftover, Plan, PlannedTensor
from .tensors.verify_tensors import some


def report_of(plan: Plan, family: str, inputs: dict[str, str]) -> dict:
    """Everything that was decided; nothing in it depends on when or on which machine the conversion ran.

    inputs: names (not paths) of what was converted.
    """
    return {
        "family": family,
        "inputs": inputs,
        "dtype": plan.dtype_name,
        "settings": {fact.name: {"value": fact.value, "known": fact.how} for fact in plan.facts},
        "tensors": {
            tensor.name: {
                "operation": tensor.operation,
                "shape": list(tensor.info.shape),
                "dtype": str(tensor.info.dtype).removeprefix("torch."),
                "sources": [str(source) for source in tensor.sources],
                **shape_of_weight(tensor),
            }
            for tensor in plan.tensors
        },
        "leftovers": [
            {"source": str(leftover.source), "status": leftover.status, "reason": leftover.reason}
            for leftover in plan.leftovers
        ],
        "left_behind": [{"file": entry.path.as_posix(), "reason": entry.reason} for entry in plan.left_behind],
    }


def shape_of_weight(tensor: PlannedTensor) -> dict[str, list[int]]:
    """Of a quantised one, the shape of the weight at its numbers, and of nothing at its scales."""
    if tensor.part is None:
        return {}
    return {"of_shape": list(tensor.computed.shape) if tensor.part.name == "qweight" else [0]}


def write_report(report: dict, folder: Path) -> None:
    (folder / REPORT_NAME).write_text(report_text(report), encoding="utf-8")


def describe(plan: Plan) -> str:
    """The plan in a page: settings with their origin, then how many tensors come from where."""
    lines = ["settings:"]
    width = max(len(fact.name) for fact in plan.facts)
    lines += [f"  {fact.name:<{width}}  {fact.value}  -  {fact.how}" for fact in plan.facts]
    operations = Counter((tensor.operation, tensor.source.label) for tensor in plan.tensors)
    lines += [f"output: {len(plan.tensors)} tensors, {plan.bytes / 1e6:,.1f} MB"]
    lines += [f"  {count:>5}  {operation:<11}  {label}" for (operation, label), count in sorted(operations.items())]
    lines += ["not in the output:", *describe_leftovers(plan.leftovers)] if plan.leftovers else []
    lines += ["files left behind:", *describe_left_behind(plan.left_behind)] if plan.left_behind else []
    return "\n".join(lines)


def describe_leftovers(leftovers: Iterable[Leftover]) -> list[str]:
    groups = Counter((left.status, left.source.label, left.reason) for left in leftovers)
    return [
        f"  {count:>5}  {status:<11}  {label}: {reason}" for (status, label, reason), count in sorted(groups.items())
    ]


def describe_left_behind(entries: Iterable[LeftBehind]) -> list[str]:
    """A line for each reason."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        names.setdefault(entry.reason, []).append(entry.path.as_posix())
    return [f"  {len(found):>5}  {reason}: {some(found)}" for reason, found in sorted(names.items())]
