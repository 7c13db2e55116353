"""Which file of a folder all its weights are read from: transformers' order, and never one of two sets unseen."""

from pathlib import Path
from typing import Any

from .checkpoint_json import files_of_index, is_file, is_there, read_mapping
from .vla_errors import CheckpointError

# In transformers' order: one file of all weights, or an index of several, each in safetensors and pickled.
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def entry_of_weights(folder: Path, variant: str | None = None) -> Path | None:
    """The file of all weights, or the index of their shards, as transformers chooses; `None` where there is neither.

    variant: of the names, as in `from_pretrained`.

    Raises:
        CheckpointError: see `check_one_set`.
    """
    names = [with_variant(name, variant) for name in WEIGHT_NAMES]
    for whole, index in zip(names[::2], names[1::2], strict=True):
        if is_there(folder / whole):
            if is_there(folder / index):
                check_one_set(folder, whole, folder / index)
            return folder / whole
        if is_there(folder / index):
            return folder / index
    return None


def files_of_weights(folder: Path) -> list[Path]:
    """The files of a folder's weights in safetensors; none where they are pickled, or there are none.

    Raises:
        CheckpointError: see `check_one_set` and `files_of_index`.
    """
    entry = entry_of_weights(folder)
    if entry is None or ".safetensors" not in entry.suffixes or not is_file(entry):
        return []
    return files_of_index(entry) if entry.suffix == ".json" else [entry]


def check_one_set(place: Any, whole: str, index: Path) -> None:
    """Refuse weights in one file beside an index of other files: transformers reads the former, be it the older.

    Args:
        place: the folder or repository of both, for the message; whole: the file's name.

    Raises:
        CheckpointError: so it is, or the index cannot be read.
    """
    shards = read_mapping(index).get("weight_map") if is_file(index) else None
    if not isinstance(shards, dict) or set(map(str, shards.values())) != {Path(whole).name}:
        raise CheckpointError(
            f"{place} holds weights twice, in {whole} and in the files that {index.name} names: remove the ones that "
            "are not meant, or transformers reads the former, which may be the older."
        )


def with_variant(name: str, variant: str | None) -> str:
    """`model.safetensors` -> `model.fp16.safetensors`."""
    stem, dot, ending = name.rpartition(".")
    return name if variant is None else f"{stem}.{variant}{dot}{ending}"
