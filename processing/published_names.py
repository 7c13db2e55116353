"""Words of all families beside the names under which a value was published, which stay on disk."""

from typing import Any

from ..configuration.vla_errors import InputError


def alias(published: str) -> property:
    """An attribute that reads and writes the one with the published name."""
    return property(lambda self: getattr(self, published), lambda self, value: setattr(self, published, value))


def either(names: tuple[str, str], values: tuple[Any, Any]) -> Any:
    """The value of an argument that has two names; `None` where neither was given, InputError where both were."""
    if all(value is not None for value in values):
        raise InputError(f"{names[0]} and {names[1]} are two names of one argument; give {names[0]} alone.")
    return values[1] if values[0] is None else values[0]
