"""A folder that a fine-tune writes into: nothing of an earlier one is lost, or taken for the new one's."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..configuration.checkpoint_card import CARD_NAME, is_unedited
from ..configuration.vla_errors import InputError

RESULTS = ("adapter_model.*", "model.safetensors", "model-*.safetensors", "*.index.json", "pytorch_model*.bin")
# What a run of one kind leaves beside its weights and one of another kind does not replace: beside a whole model's
# weights, `adapter_config.json` has them looked for in the base.
OF_ONE_KIND = (
    *("adapter_config.json", "config.json", "generation_config.json", "chat_template.jinja"),
    *("view_names.json", "base_weights.json"),
)


def check_run_folder(folder: str | Path, resume: bool, overwrite: bool, sources: Sequence[str | Path] = ()) -> None:
    """Refuse a folder that holds a run, unless it is to be gone on with or to be replaced.

    Args:
        sources: what the new run reads, such as model and data set; it may be no part of what it replaces.

    Raises:
        InputError: there are weights or checkpoints, and neither `resume` nor `overwrite` says what is to become of
            them, or both do; or a source would be removed.
    """
    folder = Path(folder)
    if resume and overwrite:
        raise InputError("--resume goes on with a run and --overwrite_output_dir removes it; choose one of them.")
    found = results_in(folder)
    if resume or not found:
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
    return weights + sorted(path for path in folder.glob("checkpoint-*") if path.is_dir())
