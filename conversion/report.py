"""The plan as text for people and as `conversion_report.json` for machines."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .files.file_hashes import report_text
from .files.file_kinds import REPORT_NAME, LeftBehind
from .table_lines import Column, Table
from .tensors.plan import Leftover, Plan, PlannedTensor
from .tensors.verify_tensors import some
from .terminal import text_of

COUNT = Column("number", right=True, width=5, before="  ")
KIND = Column("kind", width=11, before="  ")


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
    settings = [[fact.name, str(fact.value), fact.how] for fact in plan.facts]
    columns = [
        Column("setting", before="  "),
        Column("value", before="  ", ragged=True, folds=True),
        Column("known", before="  -  ", ragged=True, folds=True),
    ]
    operations = Counter((tensor.operation, tensor.source.label) for tensor in plan.tensors)
    counts = [[str(count), *key] for key, count in sorted(operations.items())]
    output = f"output: {len(plan.tensors)} tensors, {plan.bytes / 1e6:,.1f} MB"
    tables = [
        Table(columns, settings, "settings:", header=False),
        Table([COUNT, KIND, Column("from", before="  ", ragged=True, folds=True)], counts, output, header=False),
    ]
    tables += [leftovers_table(plan.leftovers)] if plan.leftovers else []
    tables += [left_behind_table(plan.left_behind, "files left behind:")] if plan.left_behind else []
    return text_of(*tables)


def leftovers_table(leftovers: Iterable[Leftover]) -> Table:
    groups = Counter((left.status, left.source.label, left.reason) for left in leftovers)
    rows = [[str(count), *key] for key, count in sorted(groups.items())]
    texts = [Column("from", before="  ", ragged=True), Column("reason", before=": ", ragged=True, folds=True)]
    return Table([COUNT, KIND, *texts], rows, "not in the output:", header=False)


def left_behind_table(entries: Iterable[LeftBehind], title: str) -> Table:
    """A row for each reason."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        names.setdefault(entry.reason, []).append(entry.path.as_posix())
    rows = [[str(len(found)), reason, some(found)] for reason, found in sorted(names.items())]
    texts = [
        Column("reason", before="  ", ragged=True, folds=True),
        Column("files", before=": ", ragged=True, folds=True),
    ]
    return Table([COUNT, *texts], rows, title, header=False)
