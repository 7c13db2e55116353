"""Episodes that a model is measured by and does not learn from."""

import numpy as np
from datasets import Dataset

from ..configuration.vla_errors import InputError
from .action_chunks import require_columns, run_ends


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
