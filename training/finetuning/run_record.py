"""What a run was begun with, in its folder, so that it goes on with the same."""

import dataclasses
import json
from pathlib import Path

from ...configuration.checkpoint_json import read_mapping
from ...configuration.vla_errors import InputError
from ..run_folder import results_in
from .options import FinetuneOptions

RECORD = "vlahub_train.json"
MAY_CHANGE = {"resume"}


def write_record(folder: str | Path, options: FinetuneOptions) -> None:
    """Write the options into the run's folder, as it begins."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    text = json.dumps(dataclasses.asdict(options), indent=2, allow_nan=False)
    Path(folder, RECORD).write_text(text + "\n", encoding="utf-8")


def check_resumed(folder: str | Path, options: FinetuneOptions) -> None:
    """Refuse to go on with a run under other options than it was begun with.

    A run without a record, of an earlier release, is not looked at.

    Raises:
        InputError: the folder holds no run; or the message names what differs.
    """
    file = Path(folder, RECORD)
    if not file.is_file():
        if not results_in(Path(folder)):
            raise InputError(f"--resume: {folder} holds no run to go on with; leave it out to begin one there.")
        return
    before = read_mapping(file)
    now = dataclasses.asdict(options)
    different = [name for name in now if name not in MAY_CHANGE and name in before and before[name] != now[name]]
    if different:
        said = ", ".join(f"--{name} was {before[name]!r} and is {now[name]!r}" for name in different)
        raise InputError(f"{folder} cannot go on with other options: {said}. Begin another run in another folder.")
