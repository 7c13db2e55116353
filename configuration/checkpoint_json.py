"""The JSON files of a checkpoint that somebody else may have written: read with an error that names the file whatever
is wrong with it."""

import json
from pathlib import Path
from typing import Any

from .vla_errors import CheckpointError


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
