"""A folder that a fine-tune writes into: nothing of an earlier one is lost, or taken for the new one's."""

import shutil
from pathlib import Path

from ..configuration.vla_errors import InputError

RESULTS = ("adapter_model.*", "model.safetensors", "model-*.safetensors", "*.index.json", "pytorch_model*.bin")


def prepare_run_folder(folder: str | Path, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds a run, or with `overwrite` take that run's weights and checkpoints away.

    Raises:
        InputError: there are weights or checkpoints, and neither `resume` nor `overwrite` says what is to become of
            them; or both do.
    """
    folder = Path(folder)
    if resume and overwrite:
        raise InputError("--resume goes on with a run and --overwrite_output_dir removes it; choose one of them.")
    found = [path for pattern in RESULTS for path in sorted(folder.glob(pattern))]
    checkpoints = sorted(path for path in folder.glob("checkpoint-*") if path.is_dir())
    if resume or not (found or checkpoints):
        return
    if not overwrite:
        raise InputError(
            f"{folder} holds a run ({[*found, *checkpoints][0].name}): go on with it by --resume, replace it by "
            "--overwrite_output_dir, or choose another --output_dir."
        )
    for path in found:
        path.unlink(missing_ok=True)  # other processes do the same
    for path in checkpoints:
        shutil.rmtree(path, ignore_errors=True)
