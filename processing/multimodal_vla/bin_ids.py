"""Ids of the bins that stand for actions, as a caller gives them."""

from typing import Any

import numpy as np
import torch

from ...configuration.language_model_config import check_positive
from ...configuration.vla_errors import ConfigError, InputError


def check_bins(num_action_bins: int, action_vocab_size: int | None) -> None:
    """Refuse bins that a vocabulary does not hold, by the name of the argument; `None`: no tokens of actions."""
    if action_vocab_size is not None:
        check_positive("action_vocab_size", action_vocab_size)
    if num_action_bins < 2 or num_action_bins > (action_vocab_size or num_action_bins):
        raise ConfigError(
            f"num_action_bins={num_action_bins} must be at least 2 and at most action_vocab_size={action_vocab_size}."
        )


def checked_bin_ids(token_ids: Any, chunk: tuple[int, int], num_bins: int, vocab_size: int) -> torch.Tensor:
    """(batch, steps, action_dim) int64 on the CPU, all of them ids of bins.

    Args:
        token_ids: (batch, *chunk), (batch, steps * action_dim) or one row of the latter.
        chunk: steps and action_dim.
        num_bins, vocab_size: the ids of the bins are the last `num_bins` below `vocab_size`.

    Raises:
        InputError: another shape or kind of numbers, or an id outside of the bins; the message names its place.
    """
    try:
        ids = np.asarray(token_ids.cpu() if isinstance(token_ids, torch.Tensor) else token_ids)
    except ValueError as error:
        raise InputError(f"token_ids have rows of different lengths: {error}") from error
    if ids.dtype.kind not in "iu":
        raise InputError(f"token_ids must be integers, got {ids.dtype}.")
    row = chunk[0] * chunk[1]
    if ids.shape[1:] not in (chunk, (row,)) and ids.shape != (row,):
        raise InputError(
            f"token_ids have shape {ids.shape}; accepted are (batch, *{chunk}), (batch, {row}) and ({row},)."
        )
    ids = ids.reshape(-1, *chunk).astype(np.int64)
    first = vocab_size - num_bins
    wrong = np.argwhere((ids < first) | (ids >= vocab_size))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise InputError(
            f"token_ids{list(place)} is {ids[place]}; the ids of the {num_bins} bins are {first} to {vocab_size - 1}."
        )
    return torch.from_numpy(ids)
