"""safetensors files read and written one tensor at a time, with memory for that tensor alone.

The library maps a whole file on reading (mapped pages count as resident memory) and collects a whole file on writing.
The format is small: eight bytes of header length, a JSON header of names, dtypes, shapes and byte ranges, then the
bytes. Opening a file goes through the library first, which validates all of that.
"""

import hashlib
import json
import math
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ...configuration.vla_errors import ConversionError
from ..files.json_file import check_regular
from .direct_file import DirectFile

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALL = slice(None)
POINTER = b"version https://git-lfs"
METADATA = {"format": "pt"}  # exactly one key: with more, the library's files are not reproducible


@dataclass(frozen=True)
class TensorInfo:
    """A tensor that was not read: shape and dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def of_rows(self, rows: slice) -> "TensorInfo":
        """Of some rows of the tensor."""
        return self if rows == ALL else TensorInfo((rows.stop - rows.start, *self.shape[1:]), self.dtype)


def remedy(path: Path) -> str:
    """What to do about a file of weights that is none."""
    try:
        with open(path, "rb") as file:
            is_pointer = file.read(len(POINTER)) == POINTER
    except OSError:
        return "is it there, and may it be read?"
    if is_pointer:
        return "it is a pointer of Git LFS in place of the file: run `git lfs pull` there, or `hf download`."
    return "is a download or copy incomplete? Fetch the file again."


class SafetensorsReader:
    """Reads tensors by plain reads.

    Raises:
        ConversionError: the file is damaged or cut off, or a dtype is not supported.
    """

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _header(self) -> tuple[int, dict]:
        """Where the data start, and the entries of the header."""
        try:
            with safe_open(check_regular(self.path), framework="pt"):
                pass
            with open(self.path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                entries = json.loads(file.read(length))
        except (SafetensorError, OSError, ValueError) as error:
            raise ConversionError(f"{self.path} cannot be read as safetensors: {error}; {remedy(self.path)}") from error
        entries.pop("__metadata__", None)
        return 8 + length, entries

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        infos = {}
        for key, entry in self._header[1].items():
            if entry["dtype"] not in DTYPES:
                raise ConversionError(f"{self.path}: tensor {key} has dtype {entry['dtype']}, which is not supported.")
            # The library's own look lets any size pass beside one of 0; torch has no room for it.
            if math.prod(size for size in entry["shape"] if size) > sys.maxsize:
                raise ConversionError(f"{self.path}: tensor {key} has shape {entry['shape']}; {remedy(self.path)}")
            infos[key] = TensorInfo(tuple(entry["shape"]), DTYPES[entry["dtype"]])
        return infos

    def load(self, key: str, rows: slice = ALL, buffer: torch.Tensor | None = None) -> torch.Tensor:
        """One tensor, or some of its rows.

        buffer: bytes, at least as many, to read into: it saves the time that fresh memory costs, which is much more
        than the read.
        """
        start, entries = self._header
        info = self.infos[key].of_rows(rows)
        first = start + entries[key]["data_offsets"][0] + self.infos[key].row_bytes * (rows.start or 0)
        buffer = torch.empty(info.bytes, dtype=torch.uint8) if buffer is None else buffer[: info.bytes]
        with open(self.path, "rb", buffering=0) as file:
            file.seek(first)
            view, filled = memoryview(buffer.numpy()), 0
            while filled < len(view):
                count = file.readinto(view[filled:])
                if not count:
                    raise ConversionError(f"{self.path} ended while {key} was read: was it changed or cut off?")
                filled += count
        return buffer.view(info.dtype).view(info.shape)


class SafetensorsWriter:
    """Writes the tensors of `infos` in that order, each as it comes; a context manager.

    Attributes:
        checksums: CRC-32 of each tensor's bytes as they were handed over.
        digest, size: SHA-256 and number of all bytes of the file, as they were handed over.
    """

    def __init__(self, path: Path, infos: Mapping[str, TensorInfo]):
        self.path = path
        self.infos = infos
        self.checksums: dict[str, int] = {}
        self.digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> "SafetensorsWriter":
        entries: dict[str, object] = {"__metadata__": METADATA}
        position = 0
        for key, info in self.infos.items():
            entries[key] = {
                "dtype": NAMES[info.dtype],
                "shape": list(info.shape),
                "data_offsets": [position, position + info.bytes],
            }
            position += info.bytes
        header = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode()
        header += b" " * (-len(header) % 8)
        self.file = DirectFile(self.path)
        self._write(len(header).to_bytes(8, "little") + header)
        return self

    def write(self, key: str, tensor: torch.Tensor) -> None:
        """Append one tensor, or the next rows of it; tensors come in the order of `infos`."""
        content = byte_view(tensor)
        self.checksums[key] = zlib.crc32(content, self.checksums.get(key, 0))
        self._write(content)

    def _write(self, content: bytes | memoryview) -> None:
        self.digest.update(content)
        self.size += len(content)
        self.file.write(content)

    def __exit__(self, kind, error, traceback) -> None:
        self.file.close()


def byte_view(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor on the CPU, as they go into a file."""
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
