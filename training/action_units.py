"""Whether the actions of a dataset are those that its statistics are of, before anything is learnt from them."""

from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from ..configuration.normalization_statistics import STATISTICS
from ..configuration.vla_errors import InputError
from ..modeling.action_normalization import find_statistics
from .action_chunks import ActionChunks
from .dataset_columns import joined

LOOKED_AT = 1000  # rows
LEAST_INSIDE = 0.5
DEVIATIONS = 4  # of "normal" statistics, on each side of the mean


def check_units(examples: Any, collator: Any) -> None:
    """Refuse examples whose actions lie outside of the statistics by which they are normalised.

    Of the rows that statistics were made of 98 of 100 lie inside of them; where it is less than half, they are of other
    data or of other units (actions that were normalised before, degrees for radians), and clipping would hide it.
    Examples of other kinds than `ActionChunks`, and collators that normalise by no statistics, pass.

    Raises:
        InputError: the message names the column, the dimension and what to do.
    """
    if isinstance(examples, ConcatDataset):
        for part in examples.datasets:
            check_units(part, collator)
    elif isinstance(examples, Subset):
        check_units(examples.dataset, collator)
    elif isinstance(examples, ActionChunks) and hasattr(collator, "unnorm_key"):
        config, key = collator.config, examples.unnorm_key or collator.unnorm_key
        if key is not None or len(config.norm_stats) == 1:
            check_inside(examples, find_statistics(config.norm_stats, key)["action"], config.normalization_type)


def check_inside(examples: ActionChunks, statistics: dict[str, Any], normalization_type: str) -> None:
    """`check_units` of one dataset. Rows are looked at from its first to its last, at even distances."""
    step = max(1, len(examples) // LOOKED_AT)
    rows = joined(examples.actions[slice(0, len(examples), step)], examples.action)
    low, high = limits(statistics, normalization_type)
    masked = np.array(statistics.get("mask") or [True] * len(low), dtype=bool)
    if rows.shape[1] != len(low):
        raise InputError(
            f"column {', '.join(examples.action)} holds actions of {rows.shape[1]} numbers, the statistics are of "
            f"{len(low)}: they are not of this dataset."
        )
    margin = (high - low) * 1e-3 + 1e-6  # of rounding
    inside = ((rows >= low - margin) & (rows <= high + margin)).mean(axis=0)
    wrong = np.flatnonzero(masked & (high > low) & (inside < LEAST_INSIDE))
    if len(wrong):
        dimension = int(wrong[0])
        raise InputError(
            f"{1 - inside[dimension]:.0%} of the actions of column {', '.join(examples.action)} lie outside of the "
            f"statistics in dimension {dimension} ({low[dimension]:g} to {high[dimension]:g}): these are of other data "
            "or other units, or the actions were normalised before; collators take them in robot units. Compute them "
            "anew: dataset_statistics(frames) and apply_statistics."
        )


def limits(statistics: dict[str, Any], normalization_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Between which two values of each dimension nearly all data lie."""
    first, second = (np.array(statistics[name], dtype=np.float64) for name in STATISTICS[normalization_type])
    if normalization_type == "normal":
        return first - DEVIATIONS * second, first + DEVIATIONS * second
    return first, second
