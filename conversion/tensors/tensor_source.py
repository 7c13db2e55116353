"""Reading tensors one at a time from the files that training leaves: safetensors and weights-only pickles."""

import ctypes
import mmap
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from ...configuration.checkpoint_json import is_there
from ...configuration.checkpoint_weights import entry_of_weights
from ...configuration.vla_errors import ConversionError
from ..files.json_file import check_regular, load_json
from .pickled_tensors import check_tensors
from .safetensors_stream import ALL, SafetensorsReader, TensorInfo

READ_BYTES = 2**20
SHOWN = 5


class PickleReader:
    """Reads a `.pt` or `.bin` file of tensors, mapped into memory; nothing but tensors is unpickled.

    Raises:
        ConversionError: the file is damaged, is not a flat mapping of names to tensors, or needs more than tensors to
            be unpickled, which is refused without running anything.
    """

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _content(self) -> dict[str, torch.Tensor]:
        check_zip(check_regular(self.path))
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # torch raises whatever the damage happens to hit
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConversionError(f"{self.path} cannot be read as a file of tensors alone: {reason}") from error
        return check_tensors(content, self.path)

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        """Shape and dtype of each tensor; the first call opens the file."""
        return {key: TensorInfo(tuple(value.shape), value.dtype) for key, value in self._content.items()}

    def load(self, key: str, rows: slice = ALL, buffer: torch.Tensor | None = None) -> torch.Tensor:
        """As in `SafetensorsReader.load`; the mapped pages behind the rows are given back."""
        mapped, info = self._content[key], self.infos[key].of_rows(rows)
        mapped = mapped if rows == ALL else mapped[rows]
        if buffer is None:
            buffer = torch.empty(info.bytes, dtype=torch.uint8)
        tensor = buffer[: info.bytes].view(info.dtype).view(info.shape).copy_(mapped)
        forget_pages(mapped)
        return tensor

    def are_one(self, first: str, second: str) -> bool:
        """Whether two names stand for the same memory."""
        places = ((t.data_ptr(), t.shape, t.stride()) for t in (self._content[first], self._content[second]))
        return next(places) == next(places)


def check_zip(path: Path) -> None:
    """Compare every entry of a `.pt` file with its checksum, which torch does not do; the file is read through once.

    Files of `torch.save` without checksums (`set_crc32_options(False)`) have zeros in their place; the form before
    torch 1.6 is no zip file and has none.

    Raises:
        ConversionError: an entry was changed or cut off since it was written.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries if any(entry.CRC for entry in entries) else ():
                with archive.open(entry) as content:
                    while content.read(READ_BYTES):
                        pass
    except Exception as error:  # whatever the damage happens to hit
        raise ConversionError(f"{path} is damaged: {error}.") from error


def forget_pages(mapped: torch.Tensor) -> None:
    """Tell the system that the file's pages behind a mapped tensor are not needed; they are read again if they are.

    Without this a mapped file counts as resident memory once it was read through. Only whole pages inside the tensor.
    """
    if not hasattr(mmap, "MADV_DONTNEED") or not mapped.is_contiguous():
        return
    first = -(-mapped.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (mapped.data_ptr() + mapped.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


class TensorFile:
    """One file of named tensors, opened when first asked for and never for writing."""

    def __init__(self, path: Path, label: str):
        self.path = path
        self.label = label
        self._reader = (SafetensorsReader if path.suffix == ".safetensors" else PickleReader)(path)

    @property
    def infos(self) -> dict[str, TensorInfo]:
        """Shape and dtype of each tensor; no weights are read for them."""
        return self._reader.infos

    def load(self, key: str, rows: slice = ALL, buffer: torch.Tensor | None = None) -> torch.Tensor:
        """The tensor, or some of its rows, in its own dtype; in `buffer` (bytes) where it is given."""
        return self._reader.load(key, rows, buffer)

    def are_one(self, first: str, second: str) -> bool:
        """Whether the file holds one tensor under both names; only pickles can."""
        return isinstance(self._reader, PickleReader) and self._reader.are_one(first, second)


@dataclass
class TensorGroup:
    """Files that together hold one set of tensors, such as the shards of a checkpoint."""

    files: list[TensorFile]

    @cached_property
    def file_of(self) -> dict[str, TensorFile]:
        """The file of each tensor. Raises ConversionError where two files have one name."""
        found: dict[str, TensorFile] = {}
        for file in self.files:
            for key in file.infos:
                if key in found:
                    raise ConversionError(f"tensor {key} is both in {found[key].path} and in {file.path}.")
                found[key] = file
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.file_of)

    def info(self, key: str) -> TensorInfo:
        """Shape and dtype of one tensor."""
        return self.file_of[key].infos[key]


def open_checkpoint(folder: Path, label: str) -> TensorGroup | None:
    """The weights of a transformers checkpoint folder, sharded or not; `None` when it has none.

    label: how the folder is named in reports, where no path of a machine belongs.

    Raises:
        ConversionError: the index is not valid: it names a file outside the folder, or a shard is missing, or a shard
            does not hold what the index says, or holds more.
        CheckpointError: there are two sets of weights.
    """
    entry = entry_of_weights(folder)
    if entry is None:
        return None
    if entry.suffix != ".json":
        return TensorGroup([TensorFile(entry, f"{label}/{entry.name}")])
    weight_map = read_index(entry)
    shards = sorted(set(weight_map.values()))
    group = TensorGroup([TensorFile(folder / shard, f"{label}/{shard}") for shard in shards])
    check_index(entry, weight_map, group)
    return group


def read_index(path: Path) -> dict[str, str]:
    """The file of each tensor, as an index says; all files are present beside it."""
    try:
        weight_map = load_json(path, without_duplicates)["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (ConversionError, KeyError, AttributeError, TypeError) as error:
        raise ConversionError(f"{path} is not an index of shards: {error}") from error
    if not weight_map:
        raise ConversionError(f"{path} names no tensors.")
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise ConversionError(f"{path} names the shard {shard!r}, which does not lie beside it.")
        if not is_there(path.parent / shard):
            raise ConversionError(f"{path} names the shard {shard!r}, which is missing.")
    return weight_map


def check_index(path: Path, weight_map: dict[str, str], group: TensorGroup) -> None:
    """Refuse an index that names another shard for a tensor, or leaves out what a shard holds."""
    for key, shard in weight_map.items():
        if key not in group.file_of or group.file_of[key].path.name != shard:
            raise ConversionError(f"{path} says that {key} is in {shard}, which does not hold it.")
    left_out = [f"{key} ({file.path.name})" for key, file in group.file_of.items() if key not in weight_map]
    if left_out:
        more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
        raise ConversionError(f"{path} leaves out tensors that its shards hold: {', '.join(left_out[:SHOWN])}{more}.")


def without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """For `json.load`, which keeps the last of two values under one name. Raises ValueError."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} appears twice")
        found[key] = value
    return found
