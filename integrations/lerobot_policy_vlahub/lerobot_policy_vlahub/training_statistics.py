"""Other statistics than the checkpoint's, for training on another robot or dataset."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlahub.configuration.normalization_statistics import STATE_PART, STATISTICS
from vlahub.data import apply_norm_stats
from vlahub.errors import InputError

from .configuration_vlahub import VlahubConfig

ACTION, DATASET = "action", "dataset"
EXACT = ("min", "max", "mean", "std")  # of all frames; LeRobot's quantiles are means of those of the episodes


def chosen_statistics(
    config: VlahubConfig, model_config: Any, processor: Any, dataset_stats: dict[str, dict[str, Any]] | None
) -> None:
    """Let model and processor normalise by `config.statistics`, and by no others.

    dataset_stats: LeRobot's of the dataset, by feature.

    Raises:
        InputError: the file cannot be read, or LeRobot computed none that the model could normalise by.
        ConfigError: they do not fit the model.
    """
    if config.statistics == DATASET:
        name = config.unnorm_key or DATASET
        needed = STATISTICS[model_config.normalization_type]
        found = {name: of_lerobot(dataset_stats or {}, config.state_feature, processor.state_dim, needed)}
    else:
        found = read_statistics(Path(config.statistics))
    apply_norm_stats(model_config, processor, found)


def read_statistics(file: Path) -> dict[str, Any]:
    """The content of a dataset_statistics.json."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--policy.statistics={file}: {error}; a file of `vlahub stats` is needed.") from error


def of_lerobot(
    stats: dict[str, dict[str, Any]], state_feature: str, state_dim: int | None, needed: Sequence[str]
) -> dict[str, Any]:
    """LeRobot's statistics of a dataset, as one entry of a dataset_statistics.json; all actions are normalised.

    needed: those that the model normalises by. Quantiles are refused: LeRobot's (its issue 4156) lie far inside of the
    data's where episodes lie apart, and most actions would be clipped.
    """
    quantiles = sorted(set(needed).difference(EXACT))
    if quantiles:
        raise InputError(
            f"--policy.statistics={DATASET}: the model normalises by {' and '.join(quantiles)}, and LeRobot has no "
            "quantiles of a dataset, only the means of those of its episodes. `vlahub stats` computes them, and "
            "--policy.statistics=FILE takes them."
        )
    parts = {"action": ACTION} | ({} if state_dim is None else {STATE_PART: state_feature})
    missing = [f"{key}/{name}" for key in parts.values() for name in needed if name not in stats.get(key, {})]
    if missing:
        raise InputError(
            f"--policy.statistics={DATASET}: the dataset's own statistics lack {', '.join(missing)}. `vlahub stats` "
            "computes them, and --policy.statistics=FILE takes them."
        )
    found = {part: numbers_of(stats[key]) for part, key in parts.items()}
    found["action"]["mask"] = [True] * len(found["action"][needed[0]])
    return found


def numbers_of(stats: dict[str, Any]) -> dict[str, list[float]]:
    """The statistics that are those of all frames, as lists."""
    return {name: np.asarray(stats[name], dtype=np.float64).reshape(-1).tolist() for name in EXACT if name in stats}
