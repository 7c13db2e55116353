"""A folder that a fine-tune writes into: nothing of an earlier one is lost, or taken for the new one's."""

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..configuration.checkpoint_card import CARD_NAME, is_unedited
from ..configuration.protected_places import why_no_output
from ..configuration.vla_errors import InputError

RECORD = "vlahub_train.json"  # what `vlahub train` leaves from the first step on, see `run_record.py`
# Of what a run writes, and what might be of a run: not logs, scripts of a queue or figures of a tracker.
KINDS = (".bin", ".jinja", ".json", ".md", ".model", ".pt", ".pth", ".py", ".safetensors", "merges.txt", "vocab.txt")
RESULTS = ("adapter_model.*", "model.safetensors", "model-*.safetensors", "*.index.json", "pytorch_model*.bin")
# What a run of one kind leaves beside its weights and one of another kind does not replace: beside a whole model's
# weights, `adapter_config.json` has them looked for in the base.
OF_ONE_KIND = (
    *("adapter_config.json", "config.json", "generation_config.json", "chat_template.jinja"),
    *("view_names.json", "base_weights.json"),
)
CHECKPOINT = re.compile(r"checkpoint-\d+")  # a Trainer's; a copy that somebody named otherwise is theirs
SHOWN = 4


def check_run_folder(folder: str | Path, resume: bool, overwrite: bool, sources: Sequence[str | Path] = ()) -> None:
    """Refuse a folder that holds a run, unless it is to be gone on with or to be replaced, or other files.

    A folder that is new or empty, or that holds no files of the kinds that a run writes, is free.

    Args:
        sources: what the new run reads, such as model and data set; it may be no part of what it replaces.

    Raises:
        InputError: there are weights or checkpoints, and neither `resume` nor `overwrite` says what is to become of
            them, or both do; a source would be removed; there is no run, and there are files that one might replace; or
            it is no folder, may not be written, or, for a new run, is a home, the current folder or above one of them.
    """
    folder = Path(folder)
    if resume and overwrite:
        raise InputError("--resume goes on with a run and --overwrite_output_dir removes it; choose one of them.")
    check_may_write(folder)
    found = results_in(folder)
    goes_on = resume and (bool(found) or (folder / RECORD).is_file())
    if not goes_on and (words := why_no_output(folder, folder.resolve())):
        raise InputError(words)
    if resume:
        return
    if not found:
        check_nothing_is_lost(folder, sources)
        return
    if not overwrite:
        raise InputError(
            f"{folder} holds a run ({found[0].name}): go on with it by --resume, replace it by "
            "--overwrite_output_dir, or choose another --output_dir."
        )
    removed = {path.resolve() for path in [folder, *found]}
    for source in sources:
        place = Path(source).resolve()
        if place in removed or removed.intersection(place.parents) - {folder.resolve()}:
            raise InputError(
                f"--overwrite_output_dir would remove {source}, which this run reads; choose another --output_dir."
            )


def check_may_write(folder: Path) -> None:
    """Raises InputError for a place that is no folder and can be none, or where nothing may be written."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise InputError(f"{there} is no folder; choose another --output_dir than {folder}.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"there is no permission to write in {there}; choose another --output_dir than {folder}.")


def check_nothing_is_lost(folder: Path, sources: Sequence[str | Path]) -> None:
    """Raises InputError for a folder without weights whose files a run would replace, or mistake for its own."""
    if any(Path(source).resolve() == folder.resolve() for source in sources):
        raise InputError(f"{folder} is what this run reads; choose another --output_dir.")
    if not folder.is_dir() or (folder / RECORD).is_file():  # one that ended before its first checkpoint
        return
    files = sorted(path.name for path in folder.iterdir() if not path.is_dir())
    if foreign := [name for name in files if not name.startswith(".") and name.endswith(KINDS)]:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        raise InputError(
            f"{folder} holds {', '.join(foreign[:SHOWN])}{more} and no run, whose files might replace these; choose "
            "another --output_dir, such as a new folder in it."
        )


def clear_run_folder(folder: str | Path) -> None:
    """Take an earlier run's weights, checkpoints and what describes them away; a card that somebody edited stays."""
    folder = Path(folder)
    results = results_in(folder)
    if not results:
        return  # what else lies there is no run's
    card = folder / CARD_NAME
    with suppress(FileNotFoundError):  # other processes do the same
        if is_unedited(card.read_text(encoding="utf-8")):
            card.unlink()
    for path in [*results, *(folder / name for name in OF_ONE_KIND)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def results_in(folder: Path) -> list[Path]:
    """Weights and checkpoints, in this order."""
    weights = [path for pattern in RESULTS for path in sorted(folder.glob(pattern))]
    return weights + checkpoints_in(folder)


def checkpoints_in(folder: Path) -> list[Path]:
    """Those that a Trainer writes, in the order of their steps."""
    found = filter(is_checkpoint, folder.glob("checkpoint-*"))
    return sorted(found, key=lambda path: int(path.name.split("-")[-1]))


def is_checkpoint(path: Path) -> bool:
    """Whether this is a folder by a name that a Trainer gives."""
    return CHECKPOINT.fullmatch(path.name) is not None and path.is_dir()
