"""Parts of a model that its checkpoint does not have yet, asked for by name."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ..configuration.vla_errors import ConfigError

SHOWN = 8


def is_in_part(name: str, part: str) -> bool:
    """Whether a parameter lies in a part: the path of a module, or the end or a stretch of one.

    `action_head`, `film` and `layers.*.router` are such; `*` stands for anything.
    """
    return fnmatchcase(f".{name}.", f"*.{part}.*")


def parameters_of(
    parts: Sequence[str], named: Mapping[str, Sequence[str]], names: Iterable[str]
) -> dict[str, set[str]]:
    """`{part: its parameters}`.

    Args:
        named: what the model calls by words of its own, see `StrictPreTrainedModel.named_parts`.
        names: of all parameters.

    Raises:
        ConfigError: a part has none, or it is one text instead of a list of them.
    """
    if isinstance(parts, str):
        raise ConfigError(f"new_parts={parts!r} must be a list of names, such as [{parts!r}].")
    names = list(names)
    found = {
        part: {name for name in names if any(is_in_part(name, path) for path in named.get(part, (part,)))}
        for part in parts
    }
    for part, inside in found.items():
        if not inside:
            known = f"{', '.join(named)}, or " if named else ""
            raise ConfigError(
                f"new_parts has {part!r}, of which this model has no parameter: does its config switch that part on? "
                f"Parts are {known}paths of modules, whole or in part."
            )
    return found


def check_new(source: Any, found: Mapping[str, set[str]], missing: set[str]) -> None:
    """Refuse parts that a checkpoint has: what is trained is never made new.

    Args:
        found: see `parameters_of`.
        missing: names of parameters that the checkpoint lacks.

    Raises:
        ConfigError: the message names the part and what the checkpoint has of it.
    """
    for part, inside in found.items():
        if there := sorted(inside - missing):
            more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
            raise ConfigError(
                f"new_parts has {part!r}, but {source} holds {', '.join(there[:SHOWN])}{more}: leave the part out, or "
                "name what is missing alone."
            )
