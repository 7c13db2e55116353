"""Which statistics of the training data each kind of normalisation needs, and whether they are there."""

from collections.abc import Mapping
from typing import Any

from .vla_errors import ConfigError

STATISTICS = {"bounds": ("min", "max"), "bounds_q99": ("q01", "q99"), "normal": ("mean", "std")}


def check_statistics(norm_stats: Mapping[str, Any], normalization_type: str, sizes: Mapping[str, int | None]) -> None:
    """Refuse statistics of the wrong length.

    Args:
        norm_stats: `{unnorm_key: {"action": {"min": [...], ...}, ...}}`.
        sizes: the number of dimensions by part; actions must be there, other parts may be missing, `None` skips one.

    Raises:
        ConfigError: a list is missing or too short; the message names it.
    """
    for key, stats in norm_stats.items():
        for part, size in sizes.items():
            if part == "action" or (size is not None and part in stats):
                check_sizes(key, part, stats.get(part, {}), size, normalization_type)


def check_sizes(key: str, part: str, stats: Mapping[str, Any], size: int, normalization_type: str) -> None:
    names = [*STATISTICS[normalization_type], *(["mask"] if stats.get("mask") else [])]
    for name in names:
        found = len(stats.get(name) or ())
        if found != size:
            raise ConfigError(
                f"norm_stats[{key!r}][{part!r}][{name!r}] has {found} values; normalization_type="
                f"{normalization_type!r} with {part}_dim={size} needs {size}."
            )
