"""What is said before a training begins, as tables: values first, one function renders them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from transformers import PretrainedConfig, TrainingArguments

from ...configuration.normalization_statistics import STATE_PART, STATISTICS
from ..dimension_names import dimension_names
from ..hub_dataset import dataset_folder
from .arguments import order_of
from .memory import MemoryEstimate
from .options import FinetuneOptions
from .run_data import RunData
from .trained_parts import trained_parts

UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass
class Table:
    """A title, the names of columns, rows of as many cells, and sentences below them."""

    title: str
    columns: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: Sequence[str] = ()


def as_text(tables: Sequence[Table]) -> str:
    """The tables as plain text, with columns as wide as their widest cell."""
    lines = []
    for table in tables:
        lines += ["", table.title]
        rows = [*([table.columns] if table.columns else []), *table.rows]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"  {note}" for note in table.notes]
    return "\n".join(lines[1:])


def view_table(data: RunData) -> Table:
    rows = [(str(i), name, column) for i, (name, column) in enumerate(zip(data.views, data.images, strict=True))]
    return Table("camera views, in the order in which the model sees them", ("", "view", "column"), rows)


def statistics_table(data: RunData, config: PretrainedConfig, options: FinetuneOptions) -> Table:
    """Each dimension with the two numbers that normalise it."""
    if data.statistics is None:
        return Table("statistics: none, the model normalises by numbers of its own")
    [(key, statistics)] = data.statistics.items()
    numbers, folder = STATISTICS[config.normalization_type], dataset_folder(options.dataset) or options.dataset
    rows: list[Sequence[str]] = []
    for part, word, columns in (("action", "action", options.action), (STATE_PART, "state", data.state or [])):
        if (found := statistics.get(part)) is None:
            continue
        pairs = list(zip(*(found[name] for name in numbers), strict=True))
        mask = found.get("mask") or [True] * len(pairs)
        names = dimension_names(folder, columns, len(pairs))
        for name, pair, masked in zip(names, pairs, mask, strict=True):
            how = "normalised" if masked else "passes unchanged"
            rows.append((word, name, *(f"{value:.5g}" for value in pair), how))
    columns = ("", "dimension", *numbers, "mask")
    return Table(f"statistics of {key}, by which actions and state are normalised", columns, rows)


def parts_table(model: nn.Module) -> Table:
    """What trains, by part, with its share of the part."""
    parts = trained_parts(model)
    rows = [(p.name, p.how, f"{p.trained:,}", share(p.trained, p.parameters), f"{p.parameters:,}") for p in parts]
    trained, everything = (sum(getattr(part, name) for part in parts) for name in ("trained", "parameters"))
    rows.append(("all", "", f"{trained:,}", share(trained, everything), f"{everything:,}"))
    return Table("parameters that train", ("part", "how", "train", "share", "of"), rows)


def memory_table(found: MemoryEstimate) -> Table:
    names = ("weights", "gradients", "states", "activations", "total")
    words = ("weights", "gradients", "optimiser's states", "activations", "together")
    rows = [(word, in_bytes(getattr(found, name))) for word, name in zip(words, names, strict=True)]
    return Table("memory of one device, estimated", (), rows, found.notes)


def settings_table(data: RunData, options: FinetuneOptions, arguments: TrainingArguments, loss: float) -> Table:
    """What the steps are made of."""
    rows = [(name, str(value)) for name, value in settings_of(data, options, arguments).items()]
    return Table("steps", (), [*rows, ("loss of the first example, before training", f"{loss:.4g}")])


def settings_of(data: RunData, options: FinetuneOptions, arguments: TrainingArguments) -> Mapping[str, Any]:
    """Hyperparameters by name, for people."""
    whole = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    steps = arguments.max_steps if arguments.max_steps > 0 else f"{arguments.num_train_epochs:g} epochs"
    scheduler = getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type)
    precision = "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else f"that of the weights ({options.dtype})"
    devices = "1 device" if arguments.world_size == 1 else f"{arguments.world_size} devices"
    warmup = arguments.warmup_steps or getattr(arguments, "warmup_ratio", None) or 0  # a share below 1
    return {
        **({} if (order := order_of(arguments)) == "random" else {"order of the examples": order}),
        "examples": f"{len(data.examples):,} (held out: {len(data.held_out) if data.held_out else 0:,})",
        "steps": steps,
        "examples of a step": f"{whole} ({arguments.per_device_train_batch_size} a device, "
        f"{arguments.gradient_accumulation_steps} accumulated, {devices})",
        "learning rate": f"{arguments.learning_rate:g}, {scheduler}, warm-up {warmup:g}",
        "optimiser": getattr(arguments.optim, "value", arguments.optim),
        "precision": f"{precision}; the language model's weights in 4 bits (QLoRA)" if options.quantize else precision,
        "seed": arguments.seed,
    }


def share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else ""


def in_bytes(count: float) -> str:
    """`1.5 GB`."""
    power = 0
    while count >= 1000 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.3g} {UNITS[power]}"
