"""The samples of one scene as they are drawn: a number each, a colour for each different text, and their distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.trajectory_metrics import displacements, minADE, minFDE
from ...training.alpamayo_r1.time_step import TIME_STEP
from ..plots.look import COLOURS, DASHES

NUMBERED = 16  # samples with a number and a text; more are grey lines


@dataclass(frozen=True)
class Sample:
    """One trajectory.

    Attributes:
        label: "3", or "2.3" for the third of the second set.
        xyz: (steps, 3) metres.
        started: whether the text opened its trajectory.
        ade, fde: distances from the recorded path, metres; `None` where that is not known.
    """

    label: str
    xyz: np.ndarray
    text: str
    started: bool
    ade: float | None = None
    fde: float | None = None


@dataclass(frozen=True)
class Group:
    """Samples that share their text, and how their lines are drawn."""

    samples: list[Sample]
    style: dict[str, Any]

    @property
    def text(self) -> str:
        return self.samples[0].text

    @property
    def labels(self) -> str:
        """`1-4, 6` for the samples 1, 2, 3, 4 and 6."""
        return joined([sample.label for sample in self.samples])


def samples_of_scene(
    pred_xyz: np.ndarray, reasoning: Any, started: Any = None, driven: np.ndarray | None = None
) -> list[Sample]:
    """Args:
        pred_xyz: (..., samples, steps, 3); axes before are sets.
        reasoning: one text for all, or one for each sample in any nesting.
        started: the same, bool; all by default. A tensor may lie on another device.
        driven: (steps, 3), the recorded path; compared as far as both go.

    Raises:
        InputError: texts or flags are of another number than samples.
    """
    sets = in_sets(pred_xyz)
    count = sets.shape[0] * sets.shape[1]
    texts = one_each(np.asarray(reasoning, dtype=object).astype(str), count, "reasoning")
    started = True if started is None else started.cpu() if hasattr(started, "cpu") else started
    flags = one_each(np.asarray(started, dtype=bool), count, "has_start_token")
    prefixes = [f"{i}." for i in range(1, len(sets) + 1)] if len(sets) > 1 else [""]
    names = [f"{prefix}{j}" for prefix in prefixes for j in range(1, sets.shape[1] + 1)]
    errors = [(None, None)] * count
    if driven is not None:
        distances = displacements(*compared_paths(sets, driven), None, True)[0].flatten(0, 1)
        errors = [(row.mean().item(), row[-1].item()) for row in distances]
    rows = zip(names, sets.reshape(count, *sets.shape[2:]), texts, flags, errors, strict=True)
    return [Sample(name, xyz, text, bool(flag), *error) for name, xyz, text, flag, error in rows]


def in_sets(pred_xyz: np.ndarray) -> np.ndarray:
    """(..., samples, steps, 3) or (steps, 3) as (sets, samples, steps, 3)."""
    samples = pred_xyz.shape[-3] if pred_xyz.ndim > 2 else 1
    return pred_xyz.reshape(-1, samples, *pred_xyz.shape[-2:])


def compared_paths(sets: np.ndarray, driven: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as the metrics take them, as far as both go: (1, sets, samples, steps, 3) and (1, steps, 3)."""
    steps = min(sets.shape[2], len(driven))
    return torch.tensor(sets[None, :, :, :steps]), torch.tensor(driven[None, :steps])


def distances_in_words(pred_xyz: np.ndarray, driven: np.ndarray) -> str:
    """minADE and minFDE as `vlahub predict` prints them."""
    sets = in_sets(pred_xyz)
    paths = compared_paths(sets, driven)
    mean = f", mean of {len(sets)} sets" if len(sets) > 1 else ""
    best = f"best of {sets.shape[1]} over {paths[1].shape[1] * TIME_STEP:.1f} s{mean}"
    return f"minADE {minADE(*paths).item():.3f} m, minFDE {minFDE(*paths).item():.3f} m ({best})"


def one_each(values: np.ndarray, count: int, name: str) -> list[Any]:
    """A value for each sample; a single one is that of all. Raises InputError for another number."""
    flat = values.reshape(-1).tolist()
    if len(flat) not in (1, count):
        raise InputError(f"{name} has {len(flat)} entries, and there are {count} trajectories: one each is needed.")
    return flat * count if len(flat) == 1 else flat


def grouped(samples: Sequence[Sample]) -> list[Group]:
    """Samples with one text together, in the order of their first ones; colours repeat with other dashes."""
    texts = list(dict.fromkeys(sample.text for sample in samples))
    groups = []
    for i, text in enumerate(texts):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}
        groups.append(Group([sample for sample in samples if sample.text == text], style))
    return groups


def joined(labels: Sequence[str]) -> str:
    """`1-4, 6` for 1, 2, 3, 4 and 6; runs of three or more are shortened."""
    runs: list[list[str]] = []
    for label in labels:
        before = runs[-1][-1] if runs else ""
        runs[-1].append(label) if before and label == next_label(before) else runs.append([label])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def next_label(label: str) -> str:
    """`3` behind `2`, and `2.3` behind `2.2`."""
    *sets, number = label.split(".")
    return ".".join([*sets, str(int(number) + 1)])
