"""Which statistics of the training data each kind of normalisation needs, and whether they can be used.

The format is that of OpenVLA's dataset_statistics.json, `{unnorm_key: {"action": {"q01": [...], ...}, ...}}`.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from .vla_errors import ConfigError

STATISTICS = {"bounds": ("min", "max"), "bounds_q99": ("q01", "q99"), "normal": ("mean", "std")}
STATE_PART = "proprio"  # of the state's statistics, as they are written
STATE_PARTS = (STATE_PART, "state")  # and as they are read
RANGES = (("min", "max"), ("q01", "q99"))
KNOWN = ("min", "max", "q01", "q99", "mean", "std")
LARGEST = float(np.finfo(np.float32).max)  # models compute in float32


def check_statistics(
    norm_stats: Mapping[str, Any],
    normalization_type: str,
    action_dim: int | None = None,
    state_dim: int | None = None,
) -> None:
    """Refuse statistics that a model cannot normalise by; none at all (`{}`) are those of a model before training.

    Args:
        norm_stats: `{unnorm_key: {"action": {"min": [...], ..., "mask": [...]}, "proprio" or "state": {...}, ...}}`.
        action_dim: numbers of one action; `None` where it is unknown, and any length will do.
        state_dim: size of the robot's state, which then needs its statistics under one of `STATE_PARTS`; `None` for a
            model without a state.

    Raises:
        ConfigError: `normalization_type` is unknown, a part or a statistic is missing, a list has another length or
            holds anything but finite float32 numbers, a range's end lies below its start, a deviation below 0, or a
            mask is none of booleans. The message names unnorm_key, part, statistic and dimension.
    """
    check_normalization_type(normalization_type)
    where = "norm_stats"
    check_mapping(norm_stats, where)
    for key, stats in norm_stats.items():
        at = f"{where}[{key!r}]"
        check_mapping(stats, at)
        sizes = {"action": action_dim, **state_sizes(stats, state_dim, at)}
        for part, content in stats.items():
            check_finite(content, f"{at}[{part!r}]")
        for part, size in sizes.items():
            check_part(stats.get(part, {}), f"{at}[{part!r}]", part, size, normalization_type)


def check_normalization_type(normalization_type: str) -> None:
    """Raises ConfigError for an unknown one."""
    if normalization_type not in STATISTICS:
        known = ", ".join(STATISTICS)
        raise ConfigError(f"normalization_type={normalization_type!r} is unknown; choose from {known}.")


def state_sizes(stats: Mapping[str, Any], state_dim: int | None, at: str) -> dict[str, int]:
    """`{part: size}` of the state's statistics under each name that they have; empty for a model without a state."""
    if state_dim is None:
        return {}
    found = [part for part in STATE_PARTS if part in stats]
    if not found:
        names = " or ".join(map(repr, STATE_PARTS))
        raise ConfigError(f"{at} has no {names} part; state_dim={state_dim} needs one.")
    return dict.fromkeys(found, state_dim)


def check_part(stats: Any, at: str, part: str, size: int | None, normalization_type: str) -> None:
    """Of one part: the statistics that are needed, and all others of known names that are there."""
    check_mapping(stats, at)
    needed = STATISTICS[normalization_type]
    if size is None:
        size = max(1, length_of(stats.get(needed[0]), f"{at}[{needed[0]!r}]"))
    why = f"normalization_type={normalization_type!r} with {part}_dim={size}"
    others = [name for name in KNOWN if name not in needed and stats.get(name) is not None]
    present = [*needed, *others]
    for name in present:
        check_length(stats.get(name), f"{at}[{name!r}]", size, why)
        check_numbers(stats[name], f"{at}[{name!r}]")
    for low, high in RANGES:
        if low in present and high in present:
            check_range(stats[low], stats[high], at, low, high)
    for i, value in enumerate(stats["std"] if "std" in present else ()):
        if value < 0:
            raise ConfigError(f"{at}['std'][{i}] is {value}: a standard deviation is at least 0.")
    if length_of(stats.get("mask"), f"{at}['mask']"):  # none at all: every dimension is normalised
        check_length(stats["mask"], f"{at}['mask']", size, why)
        check_mask(stats["mask"], f"{at}['mask']")


def check_length(values: Any, at: str, size: int, why: str) -> None:
    """Raises ConfigError unless there are `size` values; at, why: the place and the reason, for the message."""
    found = length_of(values, at)
    if found != size:
        raise ConfigError(f"{at} has {found} values; {why} needs {size}.")


def check_numbers(values: Any, at: str) -> None:
    """Raises ConfigError unless all values are numbers."""
    for i, value in enumerate(values):
        if not is_number(value):
            raise ConfigError(f"{at}[{i}] is {value!r}: a number is needed.")


def check_range(low: Sequence[float], high: Sequence[float], at: str, low_name: str, high_name: str) -> None:
    """Raises ConfigError where a lower bound lies above its upper one."""
    for i, (first, second) in enumerate(zip(low, high, strict=True)):
        if first > second:
            raise ConfigError(
                f"{at}[{low_name!r}][{i}] is {first}, above {at}[{high_name!r}][{i}], which is {second}: are the two "
                "swapped?"
            )


def check_mask(mask: Any, at: str) -> None:
    """Raises ConfigError unless all values are true or false."""
    for i, value in enumerate(mask):
        if not isinstance(value, (bool, np.bool_)):
            raise ConfigError(f"{at}[{i}] is {value!r}: true or false is needed.")


def check_finite(content: Any, at: str) -> None:
    """Of any content: JSON has no word for what is not finite, and a model none for what float32 cannot hold."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            check_finite(value, f"{at}[{name!r}]")
    elif isinstance(content, (list, tuple, np.ndarray)):
        for i, value in enumerate(content):
            check_finite(value, f"{at}[{i}]")
    elif is_number(content) and not abs(content) <= LARGEST:
        raise ConfigError(f"{at} is {content}: a finite float32 number is needed.")


def plain(content: Any) -> Any:
    """The same in Python's own numbers and lists, as JSON takes them."""
    if isinstance(content, Mapping):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    return content.tolist() if isinstance(content, (np.ndarray, np.generic)) else content


def is_number(value: Any) -> bool:
    """Whether it is a real number, Python's or numpy's; truth values are none."""
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def length_of(values: Any, at: str) -> int:
    """Of a list; of one that is missing it is 0."""
    if values is None:
        return 0
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise ConfigError(f"{at} is {values!r}: a list is needed, one entry a dimension.")
    return len(values)


def check_mapping(content: Any, at: str) -> None:
    """Raises ConfigError unless it is a mapping."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{at} is a {type(content).__name__}: a mapping is needed.")
