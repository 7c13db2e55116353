"""Names, dtypes and shapes of the tensors of a safetensors file, from its header alone, on disk or on the Hub.

The format: eight bytes of header length, a JSON header of names, dtypes, shapes and byte ranges, then the bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from ...configuration.weight_parts import TORCH_NAMES, TensorEntry
from ..files.json_file import check_regular

LONGEST = 100_000_000  # bytes of a header that the format allows


@dataclass(frozen=True)
class Header:
    """The tensors of one file; problem: what is wrong with it though its header could be read, as a sentence."""

    tensors: list[TensorEntry]
    problem: str | None = None


def read_header(path: Path, name: str) -> Header:
    """Of a file on disk; two reads.

    name: how the file is called in what is found.

    Raises:
        ConversionError: it is damaged or cut off within the header.
    """
    try:
        size = check_regular(path).stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(LONGEST, size - 8):
                raise ConversionError(f"{name} cannot be read as safetensors: its header would be {length} bytes long.")
            entries = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise ConversionError(f"{name} cannot be read as safetensors: {error}") from error
    return header_of(entries, name, size, 8 + length)


def header_of(entries: Any, name: str, size: int, start: int | None = None) -> Header:
    """Of the content of a header.

    Args:
        size: bytes of the whole file.
        start: where the data begin; `None` where the header's length is not known.

    Raises:
        ConversionError: it is no header.
    """
    try:
        found = {key: entry for key, entry in entries.items() if key != "__metadata__"}
        tensors = [tensor_of(key, entry, name) for key, entry in found.items()]
        end = max((entry["data_offsets"][1] for entry in found.values()), default=0)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise ConversionError(f"{name} cannot be read as safetensors: its header is malformed.") from error
    wanted = end + (start or 8)
    problem = None
    if size < wanted:
        problem = f"{name} is cut off: it has {size:,} bytes, and its header names {wanted:,}."
    elif start is not None and size > wanted:
        problem = f"{name} has {size - wanted:,} bytes behind the tensors that its header names."
    return Header(tensors, problem)


def tensor_of(key: str, entry: Mapping[str, Any], name: str) -> TensorEntry:
    """Raises ValueError for what is no shape; `read_header` says which file it is of."""
    dtype, shape = TORCH_NAMES.get(entry["dtype"], str(entry["dtype"]).lower()), entry["shape"]
    if not all(type(length) is int and length >= 0 for length in [*shape, *entry["data_offsets"]]):
        raise ValueError(f"shape {shape}")
    return TensorEntry(key, dtype, tuple(shape), name)
