"""What a LeRobot dataset calls the dimensions of a vector."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .lerobot_layout import INFO, read_json

KEYS = ("names", "units")
COLUMNS = "columns"


def dimension_names(dataset: str | Path, columns: Sequence[str], size: int) -> list[str]:
    """A name for each dimension of the vector that is joined of the columns.

    Args:
        dataset: a folder; one that is no LeRobot dataset has no names.
        size: of the vector.

    Returns:
        the names in meta/info.json, where there are as many as dimensions; else "0", "1", ...
    """
    found = entries_of(dataset, columns, "names")
    return found if len(found) == size else [str(number) for number in range(size)]


def dimension_units(dataset: str | Path, columns: Sequence[str], size: int) -> list[str]:
    """The unit of each dimension: `units` beside the names in meta/info.json, in the same form; "" without them.

    LeRobot writes none; who knows them can add them.
    """
    found = entries_of(dataset, columns, "units")
    return found if len(found) == size else [""] * size


def record_names(
    statistics: dict[str, Any], dataset: str | Path, columns: Mapping[str, str | Sequence[str] | None]
) -> None:
    """Put `columns` into statistics, what each part is of; and `names` and `units` of the dimensions, where the dataset
    has them: for cards and `inspect`.

    columns: of each part of the statistics.
    """
    for part, given in columns.items():
        found = statistics.get(part)
        if not (found and given):
            continue
        joined = [given] if isinstance(given, str) else list(given)
        found[COLUMNS] = joined
        for key in KEYS:
            said = entries_of(dataset, joined, key)
            if len(said) == len(found["min"]):
                found[key] = said


def frames_per_second(dataset: str | Path) -> float | None:
    """Of a folder that is a LeRobot dataset; `None` for any other."""
    fps = info_of(dataset).get("fps")
    return float(fps) if isinstance(fps, (int, float)) and fps > 0 else None


def entries_of(dataset: str | Path, columns: Sequence[str], key: str) -> list[str]:
    """What meta/info.json says of the dimensions of the columns, joined."""
    features = info_of(dataset).get("features")
    found: list[str] = []
    for column in columns:
        feature = features.get(column) if isinstance(features, Mapping) else None
        found += flat_names(feature.get(key) if isinstance(feature, Mapping) else None)
    return found


def info_of(dataset: str | Path) -> Mapping[str, Any]:
    """meta/info.json; empty where there is none."""
    info = Path(dataset) / INFO
    content = read_json(info) if info.is_file() else None
    return content if isinstance(content, Mapping) else {}


def flat_names(names: Any) -> list[str]:
    """`["x", ...]`, `{"motors": ["x", ...]}` and `{"x": 0, ...}`, as LeRobot writes them; nothing for anything else."""
    if isinstance(names, Mapping) and all(isinstance(place, int) for place in names.values()):
        return sorted(names, key=names.__getitem__)
    if isinstance(names, Mapping):
        return [name for part in names.values() for name in flat_names(part)]
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else []
