"""JSON files: what somebody else wrote is read as plain data, with an error that names the file whatever is wrong with
it; what this package writes is never with NaN or Infinity in it, which are no JSON."""

import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError

SHARED_FIELDS = {"model_type": str, "architectures": list, "auto_map": dict}
SHOULD_BE = {str: "a text", list: "a list of the names of classes", dict: "a mapping"}
MAX_DEPTH = 64  # of lists and mappings in each other; what is read is copied and checked recursively later


def check_regular(path: Path) -> Path:
    """Refuse a named pipe, a socket, a device or a folder where a file belongs: reading one may never end.

    Raises:
        ConversionError: it is no regular file; one that is missing is the reader's affair.
    """
    if path.exists() and not stat.S_ISREG(os.stat(path).st_mode):
        raise ConversionError(f"{path} is no regular file (a folder, a named pipe, a device?); a file is needed there.")
    return path


def load_json(path: Path, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The content of a file.

    pairs: `object_pairs_hook` of `json.loads`.

    Raises:
        ConversionError: it is no regular file, not UTF-8, not JSON, or nested too deeply.
    """
    try:
        content = json.loads(check_regular(path).read_text(encoding="utf-8"), object_pairs_hook=pairs)
    except ValueError as error:
        raise ConversionError(f"{path} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise ConversionError(too_deep(path)) from error
    check_depth(content, path)
    return content


def read_json(folders: list[Path], name: str, required: bool) -> dict | None:
    """The mapping in the first file of this name in `folders`; `None` where there is none.

    Raises:
        ConversionError: it cannot be read, holds something else, or is missing and `required`; or see
            `check_shared_fields`.
    """
    for folder in folders:
        path = folder / name
        if path.exists():
            content = load_json(path)
            if not isinstance(content, dict):
                raise ConversionError(f"{path} holds a {type(content).__name__}; a mapping is needed.")
            check_shared_fields(content, path)
            return content
    if required:
        where = " and in ".join(map(str, folders))
        raise ConversionError(f"{name} is missing in {where}: is a path misspelt, or a download or copy incomplete?")
    return None


def check_shared_fields(content: dict[str, Any], path: Path) -> None:
    """Refuse what no model of transformers has in the fields that all config.json share, and that every reader of one
    looks at. Other files pass.

    Raises:
        ConversionError: the message names the field and its value.
    """
    for field, kind in SHARED_FIELDS.items() if path.name == "config.json" else ():
        value = content.get(field)
        is_right = value is None or isinstance(value, kind)
        if not is_right or (kind is list and not all(isinstance(name, str) for name in value or ())):
            raise ConversionError(f"{path}: {field} is {value!r:.100}; {SHOULD_BE[kind]} belongs there.")


def refuse_nan(path: Path) -> None:
    """Refuse a file that would travel as it is with NaN in it, which is no JSON and no setting of any model.

    Infinity, which is no JSON either, stands in published configs.

    Raises:
        ConversionError: it holds NaN.
    """

    def refuse(constant: str) -> float:
        if constant == "NaN":
            raise ConversionError(f"{path} holds NaN; put a number there.")
        return float(constant)

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def check_depth(content: Any, path: Path) -> None:
    """Refuse lists and mappings that lie in each other more than `MAX_DEPTH` deep."""
    level = nested_in([content])
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in nested_in(value)]
        if not level:
            return
    raise ConversionError(too_deep(path))


def nested_in(value: dict | list) -> list[dict | list]:
    """The lists and mappings that lie directly in one."""
    return [
        inner for inner in (value.values() if isinstance(value, dict) else value) if isinstance(inner, (dict, list))
    ]


def too_deep(path: Path) -> str:
    return f"{path} is nested too deeply to be read; {MAX_DEPTH} levels are accepted."


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
