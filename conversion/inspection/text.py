"""An inspection as text: sections of rows, which are data, and one function that makes columns of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...configuration.weight_parts import size_text
from ..family_inspection import ModelFacts, StatisticsTable
from ..table_lines import Column, Table, hanging, plain_text
from .inspection import Inspection, NextStep

MOST_KEYS = 3  # statistics of more datasets are counted, not shown
MOST_FILES = 30
BAR = 40  # characters of a whole bar
PLAIN_BAR, BLOCKS = "#", "█"


@dataclass(frozen=True)
class Section:
    """A heading and rows of one width; columns: their heads, none for pairs of a name and a value.

    right: numbers of the columns that are set to the right; folds: whether a text may be broken where a terminal is
    narrow, as a command line that is copied may not.
    """

    title: str
    rows: list[Sequence[str]]
    columns: Sequence[str] = ()
    right: frozenset[int] = field(default_factory=frozenset)
    folds: bool = True


def text_of(inspection: Inspection, bar: str = PLAIN_BAR, width: int | None = None) -> str:
    """For people. bar: what bars of a chart are made of; width: of the terminal, see `plain_text`."""
    head = f"{inspection.place}: {inspection.words}"
    head = head if width is None else "\n".join(hanging(head, width, 2))
    parts = [plain_text(table_of(section), width=width) for section in sections(inspection, bar) if section.rows]
    return "\n\n".join([head, *parts])


def table_of(section: Section) -> Table:
    names = section.columns or [""] * len(section.rows[0])
    columns = [
        Column(name, right=i in section.right, before="  ", folds=i not in section.right and section.folds)
        for i, name in enumerate(names)
    ]
    return Table(columns, section.rows, section.title, header=bool(section.columns))


def sections(inspection: Inspection, bar: str = PLAIN_BAR) -> Iterator[Section]:
    """Everything that is known, in the order in which one asks; sections without rows are left out."""
    yield Section("what it is", list(identity(inspection)))
    yield parts_section(inspection)
    yield Section("memory for the weights alone", list(memory_rows(inspection)))
    if inspection.model:
        yield Section("model", list(model_rows(inspection.model)))
        yield pruning_section(inspection.model.token_pruning, bar)
    yield from statistics_sections(inspection.statistics)
    yield Section("adapter", list(adapter_rows(inspection)))
    yield Section("where it comes from", list(provenance_rows(inspection)))
    yield files_section(inspection)
    for step in inspection.next_steps:
        yield from step_sections(step)
    yield Section("missing or odd", [(oddity,) for oddity in inspection.oddities])


def identity(inspection: Inspection) -> Iterator[tuple[str, str]]:
    for name, value in (
        ("revision", inspection.revision),
        ("family", inspection.family),
        ("model_type", inspection.model_type),
        ("class", inspection.architecture),
        ("licence", inspection.licence.get("license_name") or inspection.licence.get("license")),
        ("base model", joined(inspection.licence.get("base_model"))),
    ):
        if value:
            yield name, str(value)


def parts_section(inspection: Inspection) -> Section:
    rows = [
        (part.name, f"{part.tensors:,}", f"{part.parameters:,}", size_text(part.bytes), ", ".join(part.dtypes))
        for part in inspection.parts
    ]
    if rows:
        tensors = sum(part.tensors for part in inspection.parts)
        rows.append(("all", f"{tensors:,}", f"{inspection.parameters:,}", size_text(inspection.bytes), ""))
    columns = ("part", "tensors", "parameters", "stored", "dtype")
    return Section("parts", rows, columns, frozenset({1, 2, 3}))


def memory_rows(inspection: Inspection) -> Iterator[tuple[str, str]]:
    memory = inspection.memory
    if memory is None:
        return
    yield f"as stored{f' ({inspection.quantization})' if inspection.quantization else ''}", size_text(memory.stored)
    yield "bfloat16", size_text(memory.bfloat16)
    for name, size in (("int8", memory.int8), ("int4", memory.int4)):
        if size is not None:
            dtype = "" if memory.stored == memory.bfloat16 else " --dtype bfloat16"
            yield f"{name} (--quantize {name}{dtype})", size_text(size)


def model_rows(model: ModelFacts) -> Iterator[tuple[str, str]]:
    views = model.num_images_in_input
    names = f" ({', '.join(model.view_names)})" if model.view_names else ", names not recorded"
    rows = {
        "predicts": model.predicts,
        "camera views": None if model.predicts == "text" else f"{'any number' if views is None else views}{names}",
        "robot state": f"{model.state_dim} numbers" if model.state_dim else None,
        "action head": model.action_head,
        "actions of a chunk": model.num_action_chunks,
        "action dimensions": model.action_dim,
        "normalisation": model.normalization_type,
        "inference steps": model.num_inference_steps,
        "prompt": repr(model.prompt) if model.prompt else None,
        **model.choices,
    }
    for name, value in rows.items():
        if value is not None:
            yield name, {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def pruning_section(ratios: dict[int, float], bar: str) -> Section:
    """A bar chart of the share of vision tokens that each pruning layer keeps."""
    rows = [(str(layer), f"{ratio:.1%}", bar * round(BAR * ratio)) for layer, ratio in sorted(ratios.items())]
    return Section("vision tokens kept by layer (LFP)", rows, ("layer", "kept", ""), frozenset({0, 1}), folds=False)


def statistics_sections(tables: Sequence[StatisticsTable]) -> Iterator[Section]:
    """A table for each dataset and kind of vector; of many datasets their names alone."""
    keys = list(dict.fromkeys(table.key for table in tables))
    if len(keys) > MOST_KEYS:
        rows = [(t.key, count(t.trajectories), count(t.transitions)) for t in tables if t.part == "action"]
        title = f"statistics of {len(keys)} datasets (unnorm_key; --json has the numbers)"
        yield Section(title, rows, ("unnorm_key", "trajectories", "transitions"), frozenset({1, 2}))
        return
    for table in tables:
        sizes = [
            f"{size:,} {name}"
            for size, name in ((table.trajectories, "trajectories"), (table.transitions, "transitions"))
            if isinstance(size, int)
        ]
        title = f"statistics: {', '.join([f'{table.key}, {table.part}', f'range {table.range}', *sizes])}"
        columns = ("dimension", "low", "high", "mean", "std", "unit", "")
        yield Section(title, [dimension_row(d) for d in table.dimensions], columns, frozenset({1, 2, 3, 4}))


def dimension_row(dimension: Any) -> tuple[str, ...]:
    numbers = [number(value) for value in (dimension.low, dimension.high, dimension.mean, dimension.std)]
    unit = dimension.unit or "robot's"
    return (dimension.name, *numbers, unit, "" if dimension.normalised else "passes as it is")


def adapter_rows(inspection: Inspection) -> Iterator[tuple[str, str]]:
    adapter = inspection.adapter
    if adapter is None:
        return
    yield "LoRA", f"r {adapter.r}, alpha {adapter.alpha}, {adapter.modules:,} layers, {adapter.parameters:,} parameters"
    yield "base model", adapter.base or "not named"
    if adapter.saved_whole:
        yield "saved whole", ", ".join(adapter.saved_whole)


def provenance_rows(inspection: Inspection) -> Iterator[tuple[str, str]]:
    report = inspection.provenance
    if report is None:
        return
    for role, name in sorted(report["inputs"].items()):
        yield role, str(name)
    yield "tensors", ", ".join(f"{number:,} {operation}" for operation, number in report["operations"].items())
    if report["transformers_version"]:
        yield "transformers", report["transformers_version"]
    for name, setting in sorted(report["settings"].items()):
        yield name, f"{setting.get('value')}  -  {setting.get('known')}"


def files_section(inspection: Inspection) -> Section:
    """Each file of a run; of a checkpoint how many there are of a kind."""
    if inspection.kind in ("run", "adapter") and len(inspection.files) <= MOST_FILES:
        rows = [(file.file, size_text(file.bytes), file.role) for file in inspection.files]
        return Section("files", rows, ("file", "size", "what for"), frozenset({1}))
    counts, sizes = Counter(), Counter()
    for file in inspection.files:
        counts[file.role] += 1
        sizes[file.role] += file.bytes
    rows = [(role, f"{counts[role]:,}", size_text(sizes[role])) for role in counts]
    return Section("files", rows, ("what for", "files", "size"), frozenset({1, 2}))


def step_sections(step: NextStep) -> Iterator[Section]:
    """A command line, then what it would find, and what it needs."""
    title = f"next ({step.words})" if step.words else "next"
    yield Section(title, [(step.command,)], folds=False)
    yield Section("  it would find", [(s.name, f"{s.value}  -  {s.how}") for s in step.settings])
    yield Section("  it needs", [(need.option, need.why) for need in step.needed])


def number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else ""


def count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def joined(value: str | Iterable[str] | None) -> str | None:
    return value if value is None or isinstance(value, str) else ", ".join(map(str, value))
