"""Which weights an adapter was trained beside: a few numbers of every tensor of the base, in a file beside the adapter.

A base of the same name may be another one by now: a re-upload, another revision, a fine-tune of it in its folder. The
adapter fits all of them, and predicts something else. Tensors are compared by their shapes and numbers and not by their
names, files or dtype, which a base that is saved anew may have others of.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers.utils import CONFIG_NAME, cached_file, logging
from transformers.utils.hub import extract_commit_hash

from ..configuration.checkpoint_card import is_repository
from ..configuration.checkpoint_json import read_mapping
from ..configuration.checkpoint_weights import WEIGHT_NAMES, files_of_weights
from ..configuration.vla_errors import CheckpointError, ConfigError
from .adapter_filling import PEFT_PREFIX
from .adapter_loading import MISSING_IS_NONE
from .replaced_weights import BASE_WEIGHTS
from .weight_files import opened_weights

ADAPTER_WEIGHTS = "adapter_model.safetensors"
REPORT, MERGED = "conversion_report.json", "merged_adapters"  # of a merge: which adapters a checkpoint holds
ON_THIS_MACHINE = {
    "local_files_only": True,
    "_raise_exceptions_for_missing_entries": False,
    "_raise_exceptions_for_connection_errors": False,
    "_raise_exceptions_for_gated_repo": False,
}
EXACT = (torch.float32, torch.bfloat16)  # rounded to bfloat16 these are what a file of either is
HALF = "F16"  # a number that was rounded to it and then to bfloat16 may be another one than if it had not been
SHOWN = 3

logger = logging.get_logger(__name__)


class Weights(NamedTuple):
    """The weights of a folder: of each tensor its shape and the hash of some of its numbers, by its name; the dtypes of
    them all; and of a record the names of those that its adapter replaces whole, so that any will do."""

    tensors: dict[str, str]
    dtypes: list[str]
    replaced: frozenset[str] = frozenset()


class Difference(NamedTuple):
    """What of the weights that an adapter was trained beside is not there.

    Attributes:
        names: of the tensors, as they were called; total: how many there were.
        is_certain: whether each has one of its shape with other numbers in its place, so that it is another base; else
            that may be, or the same in another form.
    """

    names: list[str]
    total: int
    is_certain: bool

    def __str__(self) -> str:
        shown = ", ".join(self.names[:SHOWN]) + (", ..." if len(self.names) > SHOWN else "")
        return f"{len(self.names)} of the {self.total} tensors that the adapter was trained beside ({shown})"


def weights_in(files: Iterable[Path]) -> Weights:
    """Reads one row of each tensor: of all of a model with 7 billion weights, some MB.

    Raises:
        CheckpointError: a file cannot be read.
    """
    tensors, dtypes = {}, set()
    for path in files:
        file = opened_weights(path)
        for name in file.keys():  # noqa: SIM118
            part = file.get_slice(name)
            tensors[name] = mark(part.get_shape(), middle_row(file, name, part))
            dtypes.add(part.get_dtype())
    return Weights(tensors, sorted(dtypes))


def middle_row(file: Any, name: str, part: Any) -> torch.Tensor:
    """The numbers of a tensor in the middle of all of its dimensions but the last."""
    shape = part.get_shape()
    if len(shape) < 2 or 0 in shape:
        return file.get_tensor(name)
    return part[tuple(slice(size // 2, size // 2 + 1) for size in shape[:-1])]


def mark(shape: Iterable[int], row: torch.Tensor) -> str:
    """`4096x4096 1f3c...`: a shape, and the hash of numbers as bfloat16 has them."""
    numbers = row.float().to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
    return f"{'x'.join(map(str, shape)) or 'scalar'} {hashlib.sha256(numbers).hexdigest()[:16]}"


def weights_in_folder(folder: Path | None) -> Weights | None:
    """Those of a model; `None` where they are not in safetensors. Raises CheckpointError, see `weights_in`."""
    files = files_of_weights(folder) if folder else []
    return weights_in(files) if files else None


def files_of(model: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Which files of its folder or repository a model was just loaded from, as `cached_file` wants it, and no token.

    kwargs: of `from_pretrained`. The `revision` is the commit: a branch may be elsewhere when this is asked for.
    """
    where = {"cache_dir": kwargs.get("cache_dir"), "subfolder": kwargs.get("subfolder") or ""}
    where["local_files_only"] = bool(kwargs.get("local_files_only"))
    commit = getattr(model.config, "_commit_hash", None)  # 5.23 does not set it
    if commit is None and not Path(model.name_or_path).is_dir() and is_repository(model.name_or_path):
        asked = where | {"revision": kwargs.get("revision")} | ON_THIS_MACHINE
        commit = extract_commit_hash(cached_file(model.name_or_path, CONFIG_NAME, **asked), None)
    return where | {"revision": commit}


def folder_of(model: Any) -> Path | None:
    """The folder, be it in the Hub's cache, that a model was loaded from; `None` where it is not there (any more), and
    of a model of a variant, of given tensors or of its config alone."""
    name, files = model.name_or_path, getattr(model, "weights_from", {})  # models that are none of ours do not say
    if not name or files is None:
        return None
    if Path(name).is_dir():
        return Path(name, files.get("subfolder") or "")
    if not is_repository(name):  # a folder that was moved
        return None
    where = {"revision": getattr(model.config, "_commit_hash", None)} | files | ON_THIS_MACHINE
    found = (cached_file(name, file, **where) for file in WEIGHT_NAMES[:2])
    return next((Path(path).parent for path in found if path), None)


def weights_beside(model: Any) -> Weights | None:
    """Those of the files that a model was loaded from; `None` where these are not known, or the model has other numbers
    by now. Raises CheckpointError, see `weights_in`."""
    weights = weights_in_folder(folder_of(model))
    return weights if weights and is_as_read(model, weights) else None


def is_as_read(model: torch.nn.Module, weights: Weights) -> bool:
    """Whether a model, with PEFT's layers in it or not, has the numbers of its files, as far as names are alike."""
    for name, parameter in model.named_parameters():
        entry = weights.tensors.get(name.replace(".base_layer.", ".").replace(".original_module.", "."))
        shape = "x".join(map(str, parameter.shape)) or "scalar"
        if entry is None or shape_of(entry) != shape or parameter.is_meta or parameter.dtype not in EXACT:
            continue
        if HALF not in weights.dtypes and mark(parameter.shape, row_of(parameter.detach())) != entry:
            return False
    return True


def row_of(tensor: torch.Tensor) -> torch.Tensor:
    """As `middle_row`."""
    if tensor.dim() < 2 or tensor.numel() == 0:
        return tensor.cpu()
    return tensor[tuple(slice(size // 2, size // 2 + 1) for size in tensor.shape[:-1])].cpu()


def holds_adapters(folder: Path) -> bool:
    """Whether adapters were merged into a model, so that it has other numbers than the base of any of them.

    Raises CheckpointError where its report cannot be read.
    """
    path = folder / REPORT
    return path.is_file() and bool(read_mapping(path).get(MERGED))


def has_merged_adapters(model: Any, folder: Path) -> bool:
    """As `holds_adapters`, of a loaded model, whose report may lie in its repository alone."""
    if not Path(model.name_or_path).is_dir():
        where = ON_THIS_MACHINE | model.weights_from
        cached_file(model.name_or_path, REPORT, **where)
    return holds_adapters(folder)


def write_base_weights(folder: Path, base: Weights | None) -> None:
    """Record beside an adapter that was just saved what its base was; nothing where that is not known."""
    path, adapter = folder / BASE_WEIGHTS, mark_of_adapter(folder)
    if base is None or adapter is None:
        path.unlink(missing_ok=True)  # of an adapter that was saved there before
        return
    content = {"adapter": adapter, "dtypes": base.dtypes, "tensors": base.tensors}
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")


def mark_of_adapter(folder: Path) -> str | None:
    """The hash of some numbers of an adapter, so that another one in its folder is not taken for it."""
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        return None
    marks = sorted(weights_in([path]).tensors.items())
    return hashlib.sha256(json.dumps(marks, allow_nan=False).encode()).hexdigest()[:16]


def recorded_base(folder: Path) -> Weights | None:
    """What lies beside an adapter; `None` where nothing does, or it is of another adapter.

    Raises:
        CheckpointError: the file is no such record.
    """
    path = folder / BASE_WEIGHTS
    if not path.is_file():
        return None
    found = read_mapping(path)
    tensors, dtypes = found.get("tensors"), found.get("dtypes")
    if not (isinstance(tensors, Mapping) and all(isinstance(entry, str) for entry in tensors.values())):
        raise CheckpointError(f"{path} does not say which weights an adapter was trained beside: remove it.")
    if found.get("adapter") != mark_of_adapter(folder):
        return None
    held = opened_weights(folder / ADAPTER_WEIGHTS).keys()
    replaced = frozenset(name.removeprefix(PEFT_PREFIX) for name in held).intersection(tensors)
    return Weights(dict(tensors), [str(name) for name in dtypes] if isinstance(dtypes, list) else [], replaced)


def difference(recorded: Weights, base: Weights) -> Difference | None:
    """What an adapter was trained beside and a base does not have; `None` where it has all."""
    there, known = set(base.tensors.values()), set(recorded.tensors.values())
    missing = [name for name, entry in recorded.tensors.items() if entry not in there and name not in recorded.replaced]
    if not missing:
        return None
    wanted = Counter(shape_of(recorded.tensors[name]) for name in missing)
    own = (entry for name, entry in base.tensors.items() if name not in recorded.replaced)
    others = Counter(shape_of(entry) for entry in own if entry not in known)
    rounded = (HALF in recorded.dtypes) != (HALF in base.dtypes)
    return Difference(sorted(missing), len(recorded.tensors), wanted <= others and not rounded)


def shape_of(entry: str) -> str:
    return entry.partition(" ")[0]


def check_base(model: Any, place: Any, files: dict[str, Any]) -> None:
    """Refuse an adapter, which was just loaded, whose base was another one than the files that a model comes from;
    warn where that may be. Nothing is known of adapters that `VLATrainer` did not train, and of bases that hold others.

    files: the arguments that say which files of the adapter's place are meant.

    Raises:
        ConfigError: it is another one.
        CheckpointError: a file cannot be read.
    """
    path = None if place is None else cached_file(place, BASE_WEIGHTS, **files, **MISSING_IS_NONE)
    recorded = path and recorded_base(Path(path).parent)
    if not recorded or (base := weights_beside(model)) is None or (found := difference(recorded, base)) is None:
        return
    if has_merged_adapters(model, folder_of(model)):
        return
    if found.is_certain:
        raise ConfigError(
            f"{place} is an adapter of other weights than those of {model.name_or_path}, which has other numbers in "
            f"{found}: load the base, or the revision of it, that it was trained beside. Without {BASE_WEIGHTS} in its "
            "folder it is loaded all the same."
        )
    logger.warning(
        "%s may be an adapter of another model than %s, which does not have %s. If it is, predictions are wrong.",
        *(place, model.name_or_path, found),
    )
