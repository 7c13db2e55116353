"""The statistics that a fine-tune normalises by: given, its dataset's own, or computed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from ..configuration.vla_errors import InputError
from .statistics import dataset_statistics

FILE = "dataset_statistics.json"


def run_statistics(
    frames: Dataset,
    dataset: str | Path,
    file: str | Path | None = None,
    unmasked_actions: Sequence[int] = (),
    action: str | Sequence[str] = "action",
    state: str | Sequence[str] | None = None,
    quiet: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """`{unnorm_key: statistics}`; says where they come from, and which actions they normalise.

    Args:
        frames: to compute from.
        dataset: whose name is the key; a folder may hold a dataset_statistics.json, which is taken unless there are
            `unmasked_actions`.
        file: takes the place of both.
        unmasked_actions, action, state: as in `dataset_statistics`.
        quiet: say nothing.
        progress: show a bar while computing.

    Raises:
        InputError: the file is of several datasets, or `unmasked_actions` are given beside it.
    """
    dataset = Path(dataset)
    if file and unmasked_actions:
        raise InputError(
            f"unmasked_actions={list(unmasked_actions)} is for statistics that are computed; {file} has a mask."
        )
    if not file and not unmasked_actions and (dataset / FILE).is_file():
        file = dataset / FILE
    if file:
        statistics = json.loads(Path(file).read_text(encoding="utf-8"))
        if not isinstance(statistics, dict) or len(statistics) != 1:
            raise InputError(f"{file} is of the datasets {list(statistics)}; it must be of this one alone.")
    else:
        found = dataset_statistics(frames, action, state, unmasked_actions, progress=progress)
        statistics = {dataset.resolve().name: found}
    if not quiet:
        [(key, found)] = statistics.items()
        mask = found.get("action", {}).get("mask")
        print(f"statistics of {key}: {file or 'computed'}; mask of the actions: {'all' if mask is None else mask}")
    return statistics
