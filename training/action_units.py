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
LEAST_REACHED = 0.98  # as many as lie inside of the statistics' percentiles
DEVIATIONS = 4  # of "normal" statistics, on each side of the mean


def check_units(examples: Any, collator: Any) -> None:
    """Refuse examples whose actions lie outside of the statistics by which they are normalised.

    Of the rows that statistics were made of 98 of 100 lie inside of them; where it is less than half, they are of other
    data or of other units (degrees for radians), and clipping would hide it. Of smaller units all lie inside. Heads
    that reach normalised actions from -1 to 1 alone also need them there (`check_reach`).
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
            statistics = find_statistics(config.norm_stats, key)["action"]
            place, remedy = f"column {', '.join(examples.action)}", "dataset_statistics(frames) and apply_statistics"
            check_actions(some_rows(examples), place, statistics, config, remedy)


def some_rows(examples: ActionChunks) -> np.ndarray:
    """(rows, action_dim), in robot units, from the first to the last at even distances."""
    step = max(1, len(examples) // LOOKED_AT)
    return joined(examples.actions[slice(0, len(examples), step)], examples.action)


def check_actions(rows: np.ndarray, place: str, statistics: dict[str, Any], config: Any, remedy: str) -> None:
    """`check_units` of actions from all over a dataset.

    Args:
        rows: (rows, action_dim), in the dataset's units.
        place: where they are from, and remedy: what computes statistics anew, for the message.
        statistics: of actions; config: of the model that learns them.
    """
    check_inside(rows, place, statistics, config.normalization_type, remedy)
    if config.bounded_actions:
        check_reach(rows, place, statistics, config)


def check_inside(
    rows: np.ndarray, place: str, statistics: dict[str, Any], normalization_type: str, remedy: str
) -> None:
    """Raises InputError where less than half of the actions lie inside of their statistics in one dimension, and where
    these are of other dimensions."""
    low, high = limits(statistics, normalization_type)
    masked = np.array(statistics.get("mask") or [True] * len(low), dtype=bool)
    if rows.shape[1] != len(low):
        raise InputError(
            f"{place} holds actions of {rows.shape[1]} numbers, the statistics are of {len(low)}: they are not of this "
            "dataset."
        )
    margin = (high - low) * 1e-3 + 1e-6  # of rounding
    inside = ((rows >= low - margin) & (rows <= high + margin)).mean(axis=0)
    wrong = np.flatnonzero(masked & (high > low) & (inside < LEAST_INSIDE))
    if len(wrong):
        dimension = int(wrong[0])
        raise InputError(
            f"{1 - inside[dimension]:.0%} of the actions of {place} lie outside of the statistics in dimension "
            f"{dimension} ({low[dimension]:g} to {high[dimension]:g}): these are of other data or other units, or the "
            f"actions were normalised before; collators take them in robot units. Compute them anew: {remedy}."
        )


def check_reach(rows: np.ndarray, place: str, statistics: dict[str, Any], config: Any) -> None:
    """See that a head whose actions end at -1 and 1 (tokens of bins, a diffusion that clips) can learn a dataset's.

    config: of a model with `bounded_actions`.

    Raises:
        InputError: they are normalised by their deviation, of which it reaches one, or a dimension that is not
            normalised goes further.
    """
    head = f"action_head={config.action_head!r} reaches normalised actions from -1 to 1 alone"
    if config.normalization_type == "normal":
        raise InputError(
            f"{head}, and normalization_type='normal' takes them further: all behind one standard deviation would be "
            "cut off. Take 'bounds' or 'bounds_q99', or a head without bounds."
        )
    outside = (np.abs(rows) > 1 + 1e-3).mean(axis=0)
    masked = np.array(statistics.get("mask") or [True] * len(outside), dtype=bool)
    wrong = np.flatnonzero(~masked & (outside > 1 - LEAST_REACHED))
    if len(wrong):
        dimension = int(wrong[0])
        raise InputError(
            f"{head}, and {outside[dimension]:.0%} of the actions of {place} go further in dimension {dimension}, "
            "which the statistics leave as it is (mask): they would be cut off. Compute statistics that normalise it "
            "(without it in unmasked_actions), or bring it to -1..1 in the data."
        )


def limits(statistics: dict[str, Any], normalization_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Between which two values of each dimension nearly all data lie."""
    first, second = (np.array(statistics[name], dtype=np.float64) for name in STATISTICS[normalization_type])
    if normalization_type == "normal":
        return first - DEVIATIONS * second, first + DEVIATIONS * second
    return first, second
