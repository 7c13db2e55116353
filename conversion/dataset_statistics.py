"""The statistics of the training data, from the file that is given or from what a run leaves."""

from pathlib import Path
from typing import Any

from ..configuration.normalization_statistics import check_statistics
from ..configuration.vla_errors import ConversionError
from .files.file_kinds import STATISTICS_NAME
from .files.json_file import read_json
from .travelling.travelling_code import own_config_class


def read_statistics(file: Path | None, folders: list[Path]) -> tuple[dict[str, Any], str]:
    """Statistics by `unnorm_key`, and how they are known; `{}` and "" where there are none.

    Whether a model can normalise by them is checked with the model's sizes, by its config.

    Args:
        file: as given with --statistics: a dataset_statistics.json, or a config.json or processor_config.json that has
            them as `norm_stats`.
        folders: where a dataset_statistics.json is looked for without it.

    Raises:
        ConversionError: a file cannot be read or is not one of statistics.
    """
    if file is not None:
        content = read_json([file.parent], file.name, required=True)
        return checked(content.get("norm_stats", content), file.name), f"given (--statistics {file.name})"
    for folder in folders:
        content = read_json([folder], STATISTICS_NAME, required=False)
        if content is not None:
            return checked(content, STATISTICS_NAME), f"read ({STATISTICS_NAME})"
    return {}, ""


def checked(statistics: Any, name: str) -> dict[str, Any]:
    """Refuse what has no entry with statistics of actions."""
    if not isinstance(statistics, dict) or not statistics:
        raise ConversionError(
            f"{name} holds no statistics: {{unnorm_key: {{'action': ..., 'proprio': ...}}}} is needed."
        )
    for key, parts in statistics.items():
        if not isinstance(parts, dict) or not isinstance(parts.get("action"), dict):
            raise ConversionError(
                f"{name}: the statistics of {key!r} are not a mapping with 'action' and, where there is a state, "
                "'proprio'."
            )
    return statistics


def statistics_size(statistics: dict[str, Any], part: str) -> int | None:
    """How many dimensions the actions or the state have; `None` where it is unknown or not the same for all."""
    entries = [stats.get(part, {}) for stats in statistics.values()]
    values = [value for entry in entries if isinstance(entry, dict) for value in entry.values()]
    sizes = {len(value) for value in values if isinstance(value, list)}
    return sizes.pop() if len(sizes) == 1 else None


def check_config_statistics(config: dict[str, Any]) -> None:
    """Refuse the content of a config.json, or of a processor's, whose `norm_stats` no model can normalise by.

    Sizes are those of the model where it is one of ours.

    Raises:
        ConfigError: see `check_statistics`.
    """
    kind = own_config_class(config)
    if kind and "norm_stats" in config:
        kind.from_dict(config)
    else:
        check_statistics(config.get("norm_stats") or {}, config.get("normalization_type", "bounds_q99"))
