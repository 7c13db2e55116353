"""How far predicted chunks of actions are from the recorded ones, and what a robot would have done by them.

"Open loop": each chunk is predicted from what was recorded at its frame, whatever was predicted before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..configuration.vla_errors import InputError


def action_errors(predicted: np.ndarray, recorded: np.ndarray, is_pad: np.ndarray) -> dict[str, Any]:
    """Errors in the units of the actions, of all steps that are no padding; computed in float64.

    Args:
        predicted, recorded: (samples, steps, dimensions).
        is_pad: (samples, steps) bool, true on steps behind the end of an episode, which are not compared.

    Returns:
        `mae` and `rmse`, (dimensions,): mean absolute error and root of the mean squared error; `action_error`, the
        mean of `mae`; `recorded_std` (dimensions,), the standard deviation of the recorded actions, to judge them by;
        `per_step` with the same two, (steps, dimensions), and `count` (steps,), how many actions each step has; NaN in
        a step that has none.

    Raises:
        InputError: the shapes do not fit, or every step is padding.
    """
    check_shapes(predicted, recorded, is_pad)
    real = ~is_pad
    difference = predicted.astype(np.float64) - recorded
    absolute = np.where(real[..., None], np.abs(difference), 0).sum(axis=0)
    squared = np.where(real[..., None], difference**2, 0).sum(axis=0)
    count = real.sum(axis=0)
    mae = absolute.sum(axis=0) / count.sum()
    with np.errstate(invalid="ignore"):  # 0 / 0 in a step without actions
        steps = {"mae": absolute / count[:, None], "rmse": np.sqrt(squared / count[:, None])}
    return {
        "action_error": mae.mean(),
        "mae": mae,
        "rmse": np.sqrt(squared.sum(axis=0) / count.sum()),
        "recorded_std": recorded[real].astype(np.float64).std(axis=0),
        "per_step": {"count": count, **steps},
    }


def check_shapes(predicted: np.ndarray, recorded: np.ndarray, is_pad: np.ndarray) -> None:
    """Raises InputError unless these are chunks of one shape with at least one step that is no padding."""
    if predicted.ndim != 3 or predicted.shape != recorded.shape or is_pad.shape != predicted.shape[:2]:
        raise InputError(
            f"predicted has shape {predicted.shape}, recorded {recorded.shape} and is_pad {is_pad.shape}; (samples, "
            "steps, dimensions) twice and (samples, steps) are needed."
        )
    if is_pad.all():
        raise InputError("there is no recorded action to compare with: every step is padding.")


@dataclass(frozen=True)
class ExecutedActions:
    """One row a frame: what a robot would have done that follows each chunk until the next one is there.

    Attributes:
        episode, frame: (rows,), the number of the episode and the place in it, in their order.
        predicted, recorded: (rows, dimensions).
    """

    episode: np.ndarray
    frame: np.ndarray
    predicted: np.ndarray
    recorded: np.ndarray

    @property
    def follows(self) -> np.ndarray:
        """(rows,) bool: whether the row before is the frame before in the same episode."""
        next_frame = (np.diff(self.episode) == 0) & (np.diff(self.frame) == 1)
        return np.concatenate([np.zeros(min(len(self.frame), 1), bool), next_frame])


def executed_actions(
    episode: np.ndarray, frame: np.ndarray, predicted: np.ndarray, recorded: np.ndarray, is_pad: np.ndarray
) -> ExecutedActions:
    """From chunks to the actions that would have been executed.

    A frame's action is that of the last chunk that begins at it or before it. Frames that no chunk reaches have none.

    Args:
        episode, frame: (samples,) where each chunk begins, in the order of episode and frame.
        predicted, recorded, is_pad: as in `action_errors`.
    """
    steps = np.arange(predicted.shape[1])
    until_next = np.full(len(frame), len(steps))
    same = np.diff(episode) == 0
    until_next[:-1][same] = np.diff(frame)[same]
    chosen = ~is_pad & (steps < until_next[:, None])
    frames = frame[:, None] + steps
    return ExecutedActions(
        np.broadcast_to(episode[:, None], chosen.shape)[chosen], frames[chosen], predicted[chosen], recorded[chosen]
    )
