"""Episodes of a dataset: whether their rows are one step after the other, and those held out of training."""

import numpy as np
from datasets import Dataset

from ..configuration.vla_errors import InputError
from .dataset_columns import require_columns

GAP = 1.5  # of the usual step: what is longer is a row that is missing


def run_ends(frames: Dataset, column: str) -> np.ndarray:
    """For each run of rows of one episode the row after its last. Raises InputError for an episode in two runs."""
    episode = number_column(frames, column)
    starts = (
        np.flatnonzero(np.concatenate([[True], episode[1:] != episode[:-1]])) if len(episode) else np.array([], int)
    )
    numbers, counts = np.unique(episode[starts], return_counts=True)
    if (counts > 1).any():
        number = numbers[counts.argmax()]
        rows = starts[episode[starts] == number][:2].tolist()
        raise InputError(
            f"column {column!r}: episode {number} begins in row {rows[0]} and again in row {rows[1]}. Frames must be "
            "in the order of episode and frame, and episodes of joined datasets must have numbers of their own."
        )
    return np.append(starts[1:], len(episode))


def number_column(frames: Dataset, column: str) -> np.ndarray:
    """A column of single values, (rows,). Raises InputError where it holds lists, or a row has no value."""
    stored = frames.select_columns([column]).with_format("arrow")[:].column(0)
    if stored.null_count:
        raise InputError(f"column {column!r} has {stored.null_count} rows without a value.")
    values = stored.to_numpy()
    if values.dtype == object and len(values) and isinstance(values[0], (list, np.ndarray)):
        raise InputError(f"column {column!r} holds lists; single values are needed.")
    return values


def check_frame_numbers(frames: Dataset, ends: np.ndarray, column: str) -> None:
    """Refuse rows of an episode whose frame numbers do not go up one by one.

    ends: the row after the last of each episode (`run_ends`).

    Raises:
        InputError: the message names the episode's rows and both numbers.
    """
    number = number_column(frames, column)
    wrong = inside(np.flatnonzero(np.diff(number) != 1), ends)
    if wrong.size:
        row = wrong[0]
        raise InputError(
            f"column {column!r} is {number[row]} in row {row} and {number[row + 1]} in the next row of the same "
            "episode: rows are missing or out of order. Sort them by episode and frame; where rows were left out on "
            "purpose, number the others anew, or pass frame=None (the column is then not looked at)."
        )


def check_times(frames: Dataset, ends: np.ndarray, column: str) -> None:
    """Refuse rows of an episode whose times do not go up, or leave out a step.

    A step is too long where it takes more than 1.5 of the usual one, the median of the dataset.

    Raises:
        InputError: the message names the rows and both times.
    """
    time = times_of(frames, column)
    steps = np.diff(time)
    usual = np.median(steps[inside(np.arange(len(steps)), ends)]) if len(steps) else 0.0
    wrong = inside(np.flatnonzero((steps <= 0) | (steps > GAP * usual)), ends)
    if wrong.size:
        row = wrong[0]
        raise InputError(
            f"column {column!r} goes from {time[row]:.4f} s in row {row} to {time[row + 1]:.4f} s in the next row of "
            f"the same episode, where a step takes {usual:.4f} s: rows are missing or out of order. Sort them and give "
            "each episode without gaps, or pass timestamp=None (the column is then not looked at)."
        )


def check_step(frames: Dataset, ends: np.ndarray, column: str, step: float, tolerance: float) -> None:
    """Refuse rows of an episode that are not `step` seconds apart.

    No step may be off by more than `tolerance` seconds, and no row by more than that from where it would be if every
    step since the episode's start, or in the last 100 rows, had been exact.

    Raises:
        InputError: the message names the rows and both times.
    """
    time = times_of(frames, column)
    start = np.repeat(np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0))
    rows = np.arange(len(time))
    for before in (rows - 1, np.maximum(start, rows - 100)):
        since = np.maximum(start, before)
        off = np.abs(time - time[since] - step * (rows - since))
        wrong = np.flatnonzero(~(off <= tolerance))
        if wrong.size:
            row = wrong[0]
            raise InputError(
                f"column {column!r} is {time[since[row]]:.4f} s in row {since[row]} and {time[row]:.4f} s in row "
                f"{row} of the same episode; {(row - since[row]) * step:.1f} s must lie between them. Take rows that "
                f"are {step} s apart (every third row of a recording at 30 Hz, say)."
            )


def times_of(frames: Dataset, column: str) -> np.ndarray:
    """The times of the rows, (rows,) float64. Raises InputError where one is no finite number."""
    time = number_column(frames, column)
    if time.dtype.kind not in "iuf":
        raise InputError(f"column {column!r} must hold seconds, got {time[0]!r} in row 0.")
    bad = np.flatnonzero(~np.isfinite(time))
    if bad.size:
        raise InputError(f"column {column!r} is {time[bad[0]]} in row {bad[0]}; it must hold seconds.")
    return time.astype(np.float64)


def inside(rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Of these rows those that have a next row in their episode."""
    return rows[~np.isin(rows + 1, ends)]


def hold_out_episodes(
    frames: Dataset, share: float, seed: int = 0, episode: str = "episode_index"
) -> tuple[Dataset, Dataset]:
    """Frames to learn from, and those of a share of the episodes, chosen at random; at least one of each.

    Args:
        frames: in the order of episode and frame.
        share: of the episodes, above 0 and below 1.
        episode: column with the number of the episode.

    Raises:
        InputError: the share is none, or there is only one episode.
    """
    if not 0 < share < 1:
        raise InputError(f"a share of {share!r} of the episodes cannot be held out; it must lie between 0 and 1.")
    require_columns(frames, [episode])
    ends = run_ends(frames, episode)
    if len(ends) < 2:
        raise InputError(f"{len(ends)} episode: to hold some out there must be two or more.")
    count = min(max(round(share * len(ends)), 1), len(ends) - 1)
    held = np.zeros(len(ends), dtype=bool)
    held[np.random.RandomState(seed).permutation(len(ends))[:count]] = True
    is_held = np.repeat(held, np.diff(ends, prepend=0))
    return frames.select(np.flatnonzero(~is_held)), frames.select(np.flatnonzero(is_held))
