"""Reading tensors one at a time from the files that training leaves: safetensors and weights-only pickles."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..configuration.vla_errors import ConversionError

SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
INDEX_NAMES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLE_NAMES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class TensorInfo:
    """A tensor that was not read: shape and dtype."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class TensorFile:
    """One file of named tensors, opened when first asked for and never for writing.

    Raises:
        ConversionError: the file is damaged, is not a flat mapping of names to tensors, or needs more than tensors to
            be unpickled (which is refused without running anything).
    """

    def __init__(self, path: Path, label: str):
        self.path = path
        self.label = label

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        if self.path.suffix == ".safetensors":
            return {key: self._sliced_info(key) for key in self._safetensors.keys()}  # noqa: SIM118
        return {key: TensorInfo(tuple(value.shape), value.dtype) for key, value in self._pickled.items()}

    def load(self, key: str) -> torch.Tensor:
        """The tensor, in its own dtype."""
        if self.path.suffix == ".safetensors":
            return self._safetensors.get_tensor(key)
        return self._pickled[key]

    @cached_property
    def _safetensors(self):
        try:
            return safe_open(self.path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise ConversionError(f"{self.path} cannot be read as safetensors: {error}") from error

    def _sliced_info(self, key: str) -> TensorInfo:
        part = self._safetensors.get_slice(key)
        if part.get_dtype() not in SAFETENSORS_DTYPES:
            raise ConversionError(f"{self.path}: tensor {key} has dtype {part.get_dtype()}, which is not supported.")
        return TensorInfo(tuple(part.get_shape()), SAFETENSORS_DTYPES[part.get_dtype()])

    @cached_property
    def _pickled(self) -> dict[str, torch.Tensor]:
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # torch raises whatever the damage happens to hit
            reason = str(error).splitlines()[0]
            raise ConversionError(f"{self.path} cannot be read as a file of tensors alone: {reason}") from error
        if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
            raise ConversionError(f"{self.path} is not a flat mapping of names to tensors.")
        return dict(content)


@dataclass
class TensorGroup:
    """Files that together hold one set of tensors, such as the shards of a checkpoint."""

    files: list[TensorFile]

    @cached_property
    def file_of(self) -> dict[str, TensorFile]:
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
        return self.file_of[key].infos[key]


def open_checkpoint(folder: Path, label: str) -> TensorGroup | None:
    """The weights of a transformers checkpoint folder, sharded or not; `None` when it has none.

    label: how the folder is named in reports, where no path of a machine belongs.

    Raises:
        ConversionError: the index is not valid: it names a file outside the folder, or a shard is missing.
    """
    for name in INDEX_NAMES:
        if (folder / name).exists():
            return TensorGroup([TensorFile(folder / shard, f"{label}/{shard}") for shard in read_index(folder / name)])
    for name in WHOLE_NAMES:
        if (folder / name).exists():
            return TensorGroup([TensorFile(folder / name, f"{label}/{name}")])
    return None


def read_index(path: Path) -> list[str]:
    """Names of the shards that an index file lists, all of them present beside it."""
    try:
        shards = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConversionError(f"{path} is not an index of shards (no 'weight_map').") from error
    for shard in shards:
        if Path(shard).name != shard:
            raise ConversionError(f"{path} names the shard {shard!r}, which does not lie beside it.")
        if not (path.parent / shard).exists():
            raise ConversionError(f"{path} names the shard {shard!r}, which is missing.")
    return shards
