"""Whether a policy opens and closes its gripper when the recording does."""

from typing import Any

import numpy as np

from .action_errors import ExecutedActions

DIRECTIONS = {"rising": 1, "falling": -1}


def gripper_events(
    actions: ExecutedActions, dimension: int, tolerance: int, threshold: float | None = None
) -> dict[str, Any]:
    """Success of the switches of one dimension of the actions.

    A frame's state is whether its action lies above the threshold. An event is a frame whose state differs from that of
    the frame before, in the same episode; it is rising or falling. A predicted event is a success where there is a
    recorded one in the same direction at most `tolerance` frames away; each recorded event is matched once, so that as
    many as possible are matched. Events are compared within runs of frames that have an action.

    Args:
        dimension: of the actions.
        tolerance: frames, from 0 on.
        threshold: in the units of the action; `None`: the middle of the least and the greatest recorded value.

    Returns:
        `recorded`, `predicted` and `matched`, numbers of events; `precision` (matched of the predicted), `recall`
        (matched of the recorded) and `f1`; `accuracy`, the share of frames whose state is the recorded one; `delay`,
        the mean of how many frames later than the recorded one a matched event is; `rising` and `falling` with the
        three numbers of each direction; `threshold`, `tolerance`, `frames`. What would divide by 0 is NaN. Where the
        recorded value never changes and no threshold is given, there is none, and nothing is counted.
    """
    predicted, recorded = actions.predicted[:, dimension], actions.recorded[:, dimension]
    least, greatest = (float(value) for value in (recorded.min(), recorded.max()))
    result = {"threshold": threshold, "tolerance": tolerance, "frames": len(recorded)}
    if threshold is None:
        if least == greatest:
            return result
        threshold = result["threshold"] = (least + greatest) / 2
    follows = actions.follows
    clock = np.cumsum(np.where(follows, 1, tolerance + 1))  # events of two runs are never within the tolerance
    states = {"recorded": recorded > threshold, "predicted": predicted > threshold}
    counts, delays = {}, []
    for name, sign in DIRECTIONS.items():
        times = {side: clock[switches(state, follows) == sign] for side, state in states.items()}
        pairs = matched(times["recorded"], times["predicted"], tolerance)
        counts[name] = {side: len(found) for side, found in times.items()} | {"matched": len(pairs)}
        delays += [second - first for first, second in pairs]
    totals = {side: sum(found[side] for found in counts.values()) for side in ("recorded", "predicted", "matched")}
    scores = {"precision": ratio(totals["matched"], totals["predicted"])}
    scores["recall"] = ratio(totals["matched"], totals["recorded"])
    scores["f1"] = ratio(2 * totals["matched"], totals["predicted"] + totals["recorded"])
    scores["accuracy"] = float((states["recorded"] == states["predicted"]).mean())
    scores["delay"] = ratio(sum(delays), len(delays))
    return result | totals | scores | counts


def switches(state: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """(rows,) 1 where a state becomes true, -1 where it becomes false, else 0; never in a row that follows none."""
    change = np.diff(state.astype(int), prepend=state[:1].astype(int))
    return np.where(follows, change, 0)


def matched(first: np.ndarray, second: np.ndarray, tolerance: int) -> list[tuple[int, int]]:
    """As many pairs as possible of two ascending lists of times that are at most `tolerance` apart, each used once.

    Taking the earliest pair that fits is best: whatever it is left out for could be exchanged for it.
    """
    pairs, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        if abs(first[i] - second[j]) <= tolerance:
            pairs.append((int(first[i]), int(second[j])))
            i, j = i + 1, j + 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return pairs


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
