"""JSON that somebody else wrote: read as plain data, with an error that names the file whatever is wrong with it."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError

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
        ConversionError: it cannot be read, holds something else, or is missing and `required`.
    """
    for folder in folders:
        path = folder / name
        if path.exists():
            content = load_json(path)
            if not isinstance(content, dict):
                raise ConversionError(f"{path} holds a {type(content).__name__}; a mapping is needed.")
            return content
    if required:
        raise ConversionError(f"{name} is missing in {' and in '.join(str(folder) for folder in folders)}.")
    return None


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
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level if isinstance(value, (dict, list)) for inner in items_of(value)]
        if not level:
            return
    raise ConversionError(too_deep(path))


def items_of(value: dict | list) -> list:
    return list(value.values()) if isinstance(value, dict) else value


def too_deep(path: Path) -> str:
    return f"{path} is nested too deeply to be read; {MAX_DEPTH} levels are accepted."
