"""JSON that this package writes: never with NaN or Infinity in it, which are no JSON."""

import json
import math
from typing import Any

from ...configuration.vla_errors import ConversionError


def json_text(content: Any, name: str, **options: Any) -> str:
    """The text of a file, with the newline at its end.

    Args:
        name: of the file, for the message.
        options: of `json.dumps`.

    Raises:
        ConversionError: a number is not finite; the message says where it is.
    """
    try:
        return json.dumps(content, allow_nan=False, **options) + "\n"
    except ValueError as error:
        found = not_finite(content) or error
        raise ConversionError(f"{name} would hold {found}, and JSON has no such number.") from error


def not_finite(content: Any, at: str = "") -> str | None:
    """The first number that is not finite and its place, such as `nan at ['actions'][0][3]`."""
    if isinstance(content, float):
        return None if math.isfinite(content) else f"{content} at {at or 'its root'}"
    if not isinstance(content, (dict, list, tuple)):
        return None
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    return next((found for key, value in pairs if (found := not_finite(value, f"{at}[{key!r}]"))), None)
