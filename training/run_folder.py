"""A folder that a fine-tune writes into: nothing of an earlier one is lost, or taken for the new one's."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..configuration.vla_errors import InputError

RESULTS = ("adapter_model.*", "model.safetensors", "model-*.safetensors", "*.index.json", "pytorch_model*.bin")


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
    """Take weights and checkpoints of an earlier run away."""
    for path in results_in(Path(folder)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)  # other processes do the same


def results_in(folder: Path) -> list[Path]:
    """Weights and checkpoints, in this order."""
    weights = [path for pattern in RESULTS for path in sorted(folder.glob(pattern))]
    return weights + sorted(path for path in folder.glob("checkpoint-*") if path.is_dir())
