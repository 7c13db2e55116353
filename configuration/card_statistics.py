"""Tables of a card: the dimensions of actions and state, with what the training data say of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from .card_markdown import code, details, sections, table, words
from .normalization_statistics import STATE_PARTS, STATISTICS

SHOWN_KEYS = 3  # datasets whose dimensions are all shown
KEYS = "The statistics of the training data turn predictions into the robot's units; `unnorm_key` says which:"
NO_UNITS = "The statistics record no units: they are those of the robot and the data that the model was trained on."
KEYS_HEADER = ("`unnorm_key`", "trajectories", "transitions", "dimensions that pass unchanged")
NONE_YET = (
    "There are no statistics yet: a model predicts in the robot's units once it was trained on data that have them."
)


def statistics_text(config: Any, names: Sequence[str] = ()) -> str:
    """All tables of a robot's model.

    names: of the dimensions of an action, where they are known and the statistics do not say them.
    """
    statistics, kind = config.norm_stats, config.normalization_type
    if not statistics:
        return NONE_YET
    keys = sorted(statistics)
    rows = [statistics_cells(statistics[key], key) for key in keys]
    shown = keys if len(keys) <= SHOWN_KEYS else keys[:1]
    tables = [dataset_text(statistics[key], key, kind, config.state_size, names) for key in shown]
    if len(keys) > SHOWN_KEYS:
        tables = [details(f"The dimensions of {code_in_html(keys[0])}", tables[0])]
    units = "" if any(has_units(statistics[key]) for key in shown) else NO_UNITS
    return sections(KEYS, table(KEYS_HEADER, rows), units, *tables)


def has_units(statistics: Mapping[str, Any]) -> bool:
    return any("units" in part for part in statistics.values() if isinstance(part, Mapping))


def code_in_html(text: str) -> str:
    return f"<code>{words(text)}</code>"


def statistics_cells(statistics: Mapping[str, Any], key: str) -> list[str]:
    """One line of the table of keys: how much data it stands for, and the dimensions that pass unchanged."""
    counts = [statistics.get(name) for name in ("num_trajectories", "num_transitions")]
    sizes = [f"{count:,}" if isinstance(count, int) else "not recorded" for count in counts]
    mask = statistics.get("action", {}).get("mask")
    unchanged = ", ".join(str(i) for i, wanted in enumerate(list_of(mask)) if not wanted) or "none"
    return [code(key), *sizes, unchanged]


def dataset_text(
    statistics: Mapping[str, Any], key: str, kind: str, state_size: int | None, names: Sequence[str]
) -> str:
    """The dimensions of one dataset: those of actions and, for a model that reads it, those of the state."""
    parts = [f"Actions of {code(key)}:", dimensions_table(statistics["action"], kind, names)]
    state = next((statistics[part] for part in STATE_PARTS if part in statistics), None)
    if state_size and state is not None:
        parts += [f"State of {code(key)}:", dimensions_table(state, kind)]
    return sections(*parts)


def dimensions_table(statistics: Mapping[str, Any], kind: str, names: Sequence[str] = ()) -> str:
    """One row a dimension; `names` and `units` are columns where they, or the statistics, have them."""
    columns = STATISTICS[kind]
    first, second = (list_of(statistics[name]) for name in columns)
    count = len(first)
    mask = list_of(statistics.get("mask")) or [True] * count
    said = {"name": list_of(statistics.get("names")) or names, "unit": list_of(statistics.get("units"))}
    known = {word: [code(v) if v else "" for v in values] for word, values in said.items() if len(values) == count}
    rows = []
    for i, (low, high) in enumerate(zip(first, second, strict=True)):
        said = [values[i] for values in known.values()]
        rows.append([str(i), *said, number(low), number(high), normalised(mask[i], kind, low, high)])
    return table(["dimension", *known, *columns, "normalised"], rows)


def normalised(is_normalised: bool, kind: str, low: float, high: float) -> str:
    """What becomes of one dimension."""
    if not is_normalised:
        return "no, passes unchanged"
    constant = high == 0 if kind == "normal" else low == high
    return "yes; constant in the data" if constant else "yes"


def list_of(values: Any) -> list:
    """Of a list, an array or nothing."""
    return [] if values is None else list(values)


def number(value: float) -> str:
    return f"{float(value):.4g}"
