"""One argument under two names: the word of all families, and a published one that stays usable."""

from typing import Any

from ..configuration.vla_errors import InputError


def one_of(**given: Any) -> tuple[str, Any]:
    """The name that was used, and its value, as in `one_of(state=state, proprio=proprio)`; the first and `None`: none.

    Raises:
        InputError: several were used.
    """
    used = {name: value for name, value in given.items() if value is not None}
    if len(used) > 1:
        raise InputError(f"{' and '.join(used)} are names of one argument; pass one of them.")
    return next(iter(used.items()), (next(iter(given)), None))
