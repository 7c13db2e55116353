"""The JSON files of a checkpoint that somebody else may have written: read with an error that names the file whatever
is wrong with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .vla_errors import CheckpointError, ConfigError, VLAError


@contextmanager
def reading_files(place: Any, what: str) -> Iterator[None]:
    """Name the place whose files some library reads, where it fails on them.

    Libraries raise whatever comes of a value that they did not look at, and where they did look their errors do not
    name the file. An `OSError` of theirs does: it is of a file that is missing, or of the Hub.

    what: is read there.

    Raises:
        CheckpointError: a file is no JSON, or holds values that cannot be used.
    """
    try:
        yield
    except (VLAError, OSError, MemoryError):
        raise
    except Exception as error:
        raise CheckpointError(f"the {what} in {place} cannot be read: {in_one_line(error)}") from error


@contextmanager
def reading_fields(field: str) -> Iterator[None]:
    """The same where a config of transformers is made of the values of a field, which is a mapping.

    Raises:
        ConfigError: values that cannot be used; the message names the field.
    """
    try:
        yield
    except (VLAError, MemoryError):
        raise
    except Exception as error:
        raise ConfigError(f"{field} has a value that its config cannot have: {in_one_line(error)}") from error


def in_one_line(error: Exception) -> str:
    """The kind of an error and what it says."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file.

    Raises:
        CheckpointError: it cannot be read, is no JSON, is nested too deeply, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; a mapping is needed.")
    return content


def files_of_index(index: Path) -> list[Path]:
    """The files that an index of weights names, each once.

    Raises:
        CheckpointError: it is no index, or a file is missing or lies anywhere but beside the index, where a checkpoint
            from somebody else has no business.
    """
    weight_map = read_mapping(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} is no index of weights: its weight_map must map tensors to files.")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index} names the file {name!r:.200}, which does not lie beside it.")
        if not is_file(index.parent / name):
            raise CheckpointError(f"{index} names the file {name!r:.200}, which is missing: fetch it again.")
    return sorted({index.parent / name for name in weight_map.values()})


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether there is anything of this name, be it no regular file; a name that no file can have is of nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
