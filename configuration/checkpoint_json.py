"""The JSON files of a checkpoint that somebody else may have written: read with an error that names the file whatever
is wrong with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .vla_errors import CheckpointError

# What code of transformers and tokenizers raises on a value of the wrong kind that it did not look at. ImportError:
# 4.57 then tries the slow tokenizer, whose packages may not be there.
OF_WRONG_VALUES = (AttributeError, KeyError, IndexError, TypeError, RecursionError, ImportError)
OF_WRONG_TEXT = (json.JSONDecodeError, UnicodeDecodeError)


@contextmanager
def reading_files(place: Any, what: str) -> Iterator[None]:
    """Name the place whose files some library reads, where it fails on them without a word about the file.

    what: is read there.

    Raises:
        CheckpointError: a file is no JSON, or holds values that cannot be used.
    """
    try:
        yield
    except (*OF_WRONG_VALUES, *OF_WRONG_TEXT) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(f"the {what} in {place} cannot be read: {reason}") from error
    except Exception as error:
        if type(error) is not Exception:  # as the tokenizers library raises; others say what is wrong
            raise
        raise CheckpointError(f"the {what} in {place} cannot be read: {error}") from error


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
