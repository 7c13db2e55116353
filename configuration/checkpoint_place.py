"""Whether what is given to `from_pretrained` can be a checkpoint of the class that reads it."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .vla_errors import CheckpointError

PAGES = ("https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/")
ADAPTER = "adapter_config.json"
OF_RUNS = ("lora_adapter", "*_checkpoint.pt", "*_checkpoint.safetensors")  # as OpenVLA-OFT and CogVLA leave them
AUTO_HINT = "AutoModelForVision2Seq, AutoConfig and AutoProcessor take the right class by themselves"


def check_place(place: Any, needed: Sequence[str], subfolder: str | None = None) -> None:
    """Refuse what is neither a folder with one of the files `needed` nor can be the id of a repository.

    Args:
        place: the first argument of `from_pretrained`; `None` is transformers' to judge.
        needed: names of files; none where what a folder holds is not looked at.

    Raises:
        CheckpointError: the message says what there is instead, and what to do.
    """
    if place is None:
        return
    name = os.fspath(place)
    if os.path.isdir(name):
        check_folder(Path(name, subfolder or ""), needed)
    elif reason := why_no_folder(name):
        raise CheckpointError(f"{name!r} is no checkpoint: {reason}.")


def why_no_folder(name: str) -> str | None:
    """What is wrong with a name that is no folder; `None` where it can be a repository's id."""
    path = Path(name)
    if path.is_file():
        return f"it is a file; name the folder that it lies in, {str(path.parent)!r}"
    page = next((page for page in PAGES if name.startswith(page)), None)
    if page:
        return f"it is an address; name the repository by its id alone, {'/'.join(name[len(page) :].split('/')[:2])!r}"
    if "://" in name:
        return "it is an address; name a folder, or a repository of the Hub by its id, 'user/name'"
    if name.startswith("~"):
        return f"~ stands for the home directory in a shell alone; write {os.path.expanduser(name)!r}"
    if os.path.isabs(name) or name.startswith(".") or name.count("/") > 1 or "\\" in name:
        return f"there is no such folder{meant_beside(path)}"
    return None


def meant_beside(path: Path) -> str:
    """`; did you mean RUN?`, a folder beside it with a name like its own; else nothing."""
    folders = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, folders, 1)
    return f"; did you mean {str(path.parent / close[0])!r}?" if close else ", look for a typing error in it"


def check_folder(folder: Path, needed: Sequence[str]) -> None:
    """Refuse a training run that is not converted yet, and a folder without any of the files `needed`.

    Raises:
        CheckpointError: the message says what the folder looks like.
    """
    if is_run(folder):
        raise CheckpointError(
            f"{folder} is a training run, not a checkpoint: an adapter and files beside it. Make one of it first: "
            f"vlahub merge-lora --base BASE --adapter {folder} --output OUTPUT"
        )
    if not needed or any((folder / name).is_file() for name in needed):
        return
    if not folder.is_dir() or not any(folder.iterdir()):
        raise CheckpointError(f"{folder} is empty, or not there; was its download complete?")
    if (folder / ADAPTER).is_file():
        raise CheckpointError(
            f"{folder} holds an adapter and no {needed[0]}: load this from the model that the adapter was trained on, "
            f"or make a checkpoint of both: vlahub merge-lora --base BASE --adapter {folder} --output OUTPUT"
        )
    steps = sorted(entry.name for entry in folder.glob("checkpoint-*") if (entry / needed[0]).is_file())
    below = f"; it holds {', '.join(steps)}: name one of them" if steps else ", as a whole checkpoint has"
    raise CheckpointError(f"{folder} holds no {needed[0]}{below}.")


def is_run(folder: Path) -> bool:
    """Whether a run of OpenVLA's kind lies there: an adapter in a folder, or side files, and no weights of a model."""
    has_weights = any(any(folder.glob(pattern)) for pattern in ("model*.safetensors", "pytorch_model*.bin"))
    return not has_weights and any(any(folder.glob(pattern)) for pattern in OF_RUNS)


def check_target(folder: Any) -> None:
    """Refuse to save where no folder can be.

    Raises:
        CheckpointError: there is a file.
    """
    if folder is None or os.path.isfile(folder):
        what = "there is a file of this name" if folder else "a folder is needed"
        raise CheckpointError(f"save_pretrained({str(folder)!r}) writes a folder: {what}; name another one.")


def check_family_of_folder(
    place: Any, subfolder: str | None, own: str | None, wanted: Sequence[str], kept: str
) -> None:
    """Refuse a folder of another family's model, where the file `own`, which says whose it is, is not there.

    Args:
        place, subfolder: as given to `from_pretrained`; what is no folder is not looked at.
        wanted: model types, one of which has to be there; none is any; kept: what reads it.

    Raises:
        CheckpointError: see `check_model_type`.
    """
    folder = Path(os.fspath(place or ""), subfolder or "")
    config = folder / "config.json"
    if not wanted or (own and (folder / own).is_file()) or not config.is_file():
        return
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:  # transformers says so
        return
    if isinstance(fields, dict):
        check_model_type(place, fields, wanted, kept)


def check_model_type(place: Any, fields: Mapping[str, Any], wanted: Sequence[str], kept: str) -> None:
    """Refuse the config of another family.

    Args:
        fields: of a config.json; without a `model_type` it passes.
        wanted: the `model_type`s of what reads it, `kept`.

    Raises:
        CheckpointError: the message names both, and what loads it.
    """
    found = fields.get("model_type", wanted[0])
    if found not in wanted:
        reads = " or ".join(map(repr, wanted))
        names = fields.get("architectures")
        of = names[0] if isinstance(names, list) and names else None
        raise CheckpointError(
            f"{place} is a checkpoint of model_type {found!r}{f' ({of})' if of else ''}, and {kept} reads {reads}: "
            f"{AUTO_HINT}; what is no checkpoint of vlahub yet becomes one by: vlahub convert {place} OUTPUT"
        )
