"""The base that an adapter says it was trained beside, and the one that it is to be added to.

PEFT writes the base's name (`base_model_name_or_path`) and, where one was asked for, its `revision` beside the weights,
and our training which weights these were. Another model of the same shapes takes the adapter without a sign, and
predicts something else.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..configuration.vla_errors import ConversionError
from ..modeling.base_weights import difference, holds_adapters, recorded_base, weights_in_folder
from .files.adapter_places import adapter_files
from .files.file_kinds import BASE_WEIGHTS_NAME, REPORT_NAME
from .files.json_file import read_json
from .source_folder import source_folder

CONFIG = "adapter_config.json"
OF_CACHE = "models--"  # how the folders of repositories begin in the Hub's cache: models--owner--name/snapshots/commit


class NamedBase(NamedTuple):
    """What the config of an adapter says of its base; `None` where it says nothing."""

    name: str | None
    revision: str | None


def named_base(run: Path) -> NamedBase:
    """What the adapter of a run, or of a folder of its own, names as its base."""
    config = {}
    for file in adapter_files(run)[:1]:
        config = read_json([(run / file).parent], CONFIG, required=False) or {}
    return NamedBase(config.get("base_model_name_or_path") or None, config.get("revision") or None)


def base_folder(base: str | None, runs: Sequence[Path]) -> Path | None:
    """`base` as a folder; a repository in the revision that the adapters of `runs` were trained beside.

    Raises:
        ConversionError: see `revision_of_base` and `source_folder`.
    """
    return source_folder(base, revision=revision_of_base(base, runs)) if base else None


def revision_of_base(base: str, runs: Sequence[Path]) -> str | None:
    """The revision of the repository `base` that adapters of it were trained beside; `None`: the newest, or a folder.

    Raises:
        ConversionError: they name several.
    """
    if Path(base).is_dir():
        return None
    found = {named.revision for run in runs if (named := named_base(run)).name == base and named.revision}
    if len(found) > 1:
        raise ConversionError(
            f"--base {base}: the adapters were trained beside different revisions of it ({', '.join(sorted(found))}); "
            "download the one that is meant, and name its folder."
        )
    return next(iter(found), None)


def other_base_warning(base: Path | None, runs: Sequence[Path]) -> str | None:
    """One line for stderr where adapters name another base than `base`, or `None`.

    Folders are compared by their own names alone, for they may have been moved; so are a folder and a repository.
    """
    if base is None:
        return None
    own = repository_or_folder(str(base.absolute()))
    behind = repository_or_folder(str(base.resolve()))  # of a link
    made_of = ((read_json([base], REPORT_NAME, required=False) or {}).get("inputs") or {}).get("base")
    named = [(repository_or_folder(str(run.resolve())), named_base(run).name) for run in runs]
    known = [own, behind, *([made_of] if made_of else [])]  # it may hold adapters of the same base already
    others = [
        f"{run} was trained beside {name}"
        for run, name in named
        if name and not any(may_be_one(base, name) for base in known)
    ]
    if not others:
        return None
    return (
        f"warning: --base is {own}, but {'; '.join(others)}. If that is another model, what is merged is wrong without "
        "a sign."
    )


def other_weights_warning(base: Path | None, runs: Sequence[Path]) -> str | None:
    """One line for stderr where an adapter may have been trained beside other weights than those of `base`; `None`
    where it was not, no training of ours recorded it, or other adapters are in the base already.

    Of several adapters the first alone can be certain: later ones may have been trained on what it was merged into.

    Raises:
        ConversionError: the first was trained beside others.
        CheckpointError: a file cannot be read.
    """
    found = {run: recorded_base((run / file).parent) for run in runs for file in adapter_files(run)[:1]}
    if base is None or not any(found.values()) or holds_adapters(base):
        return None
    own = weights_in_folder(base)
    differences = {run: difference(known, own) for run, known in found.items() if known and own}
    others = {run: found for run, found in differences.items() if found}
    first = others.get(runs[0])
    if first is not None and first.is_certain:
        raise ConversionError(
            f"--base {base} is another model than {runs[0]} was trained beside, with other numbers in {first}: name "
            f"that one, or its revision. Without {BASE_WEIGHTS_NAME} beside the adapter it is merged all the same."
        )
    said = [f"{base} does not have {found}" for found in others.values()]
    return f"warning: {'; '.join(said)}. If that is another model, what is merged is wrong." if said else None


def may_be_one(base: str, named: str) -> bool:
    """Whether two names, of a repository (owner/name) or of a folder, can mean the same model."""
    places = [repository_or_folder(name).lower() for name in (base, named)]
    if all("/" in place for place in places):
        return places[0] == places[1]
    return places[0].rpartition("/")[2] == places[1].rpartition("/")[2]


def own_name(place: str | Path) -> str:
    """What a folder is called, also one that is `.`: see `repository_or_folder`."""
    return repository_or_folder(str(Path(place).resolve()))


def repository_or_folder(place: str) -> str:
    """A repository's id, also of its folder in the Hub's cache; else the folder's own name."""
    parts = PurePosixPath(place.replace("\\", "/")).parts
    for part in reversed(parts):
        if part.startswith(OF_CACHE):
            return part.removeprefix(OF_CACHE).replace("--", "/")
    is_repository = len(parts) == 2 and parts[0] not in (".", "..", "/")
    return place if is_repository else parts[-1] if parts else ""
