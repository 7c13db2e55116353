"""Predictions for the examples of a recorded dataset, the same however many processes share the work."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..configuration.vla_errors import InputError
from .episodes import number_column, run_ends
from .evaluation import own_randomness


@dataclass(frozen=True)
class Samples:
    """Examples that are asked, in the order of episode and frame; (samples,) each.

    Attributes:
        index: of the examples.
        episode: number of the episode.
        frame: rows since the first of the episode.
    """

    index: np.ndarray
    episode: np.ndarray
    frame: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def taken(self, places: np.ndarray) -> "Samples":
        """Those at the places."""
        return Samples(self.index[places], self.episode[places], self.frame[places])


def episodes_of(frames: Dataset, episodes: Sequence[int], column: str = "episode_index") -> Dataset:
    """The rows of some episodes, in their order. Raises InputError for a number that no episode has."""
    numbers = number_column(frames, column)
    missing = sorted(set(episodes) - set(numbers.tolist()))
    if missing:
        known = np.unique(numbers)
        raise InputError(f"there are no episodes {missing[:5]}; those of the dataset are {known[0]} to {known[-1]}.")
    return frames.select(np.flatnonzero(np.isin(numbers, list(episodes))))


def samples_of(
    frames: Dataset,
    rows: np.ndarray,
    stride: int = 1,
    max_samples: int | None = None,
    column: str = "episode_index",
) -> Samples:
    """Which examples are asked.

    Args:
        frames: that the examples are made from, in the order of episode and frame.
        rows: (examples,) the row of each example, ascending.
        stride: of each episode, every so many frames from its first example on.
        max_samples: of these, so many, spread evenly from the first to the last.

    Raises:
        InputError: a number is below 1, or episodes have no whole numbers from 0 on.
    """
    for name, value in (("stride", stride), ("max_samples", max_samples)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value} must be at least 1.")
    numbers = number_column(frames, column)
    if numbers.dtype.kind not in "iu" or numbers.min(initial=0) < 0:
        raise InputError(f"column {column!r} must hold whole numbers from 0 on, one for each episode.")
    ends = run_ends(frames, column)
    run = np.searchsorted(ends, rows, side="right")
    frame = rows - np.concatenate([[0], ends[:-1]])[run]
    first = np.full(len(ends), np.iinfo(np.int64).max)
    np.minimum.at(first, run, frame)
    chosen = np.flatnonzero((frame - first[run]) % stride == 0)
    if max_samples is not None and max_samples < len(chosen):
        chosen = chosen[np.linspace(0, len(chosen) - 1, max_samples).round().astype(int)]
    return Samples(chosen, numbers[rows[chosen]], frame[chosen])


def noise_for(samples: Samples, seed: int, shape: Sequence[int]) -> torch.Tensor:
    """Standard normal numbers (samples, *shape) float32, for each sample its own from the seed, episode and frame.

    So they do not depend on what is evaluated beside it.
    """
    keys = zip(samples.episode.tolist(), samples.frame.tolist(), strict=True)
    draws = [np.random.default_rng((seed, *key)).standard_normal(shape, np.float32) for key in keys]
    return torch.from_numpy(np.stack(draws))


def predicted_in_batches(
    predict: Callable[[list[dict], Samples], list[Any]],
    examples: torch.utils.data.Dataset,
    samples: Samples,
    batch_size: int,
    seed: int,
    device: torch.device,
    part: tuple[int, int] = (0, 1),
    num_workers: int = 0,
    progress: bool = True,
) -> list[Any]:
    """What `predict` returns for every sample, in their order, in every process.

    Batches are the same whatever the number of processes: each takes whole ones. Random numbers of a batch, where
    `predict` draws any, follow from the seed and the batch's first sample.

    Args:
        predict: examples of a batch and their samples -> a picklable value for each.
        part: number of this process and how many there are.
        num_workers: processes that read examples.
        progress: show a bar of this process's share.

    Raises:
        InputError: the batch size is below 1.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size} must be at least 1.")
    places = [np.arange(first, min(first + batch_size, len(samples))) for first in range(0, len(samples), batch_size)]
    rank, world = part
    mine, found = places[rank::world], []
    batches = zip(mine, batches_of(examples, samples, mine, num_workers), strict=True)
    with tqdm(total=sum(map(len, mine)), unit="sample", desc="predicting", disable=not progress) as bar:
        for place, batch in batches:
            chosen = samples.taken(place)
            with own_randomness(batch_seed(seed, chosen), device):
                found += zip(place.tolist(), predict(batch, chosen), strict=True)
            bar.update(len(place))
    everyones = gather_object(found)
    return [value for _, value in sorted(everyones, key=lambda pair: pair[0])]


def batches_of(
    examples: torch.utils.data.Dataset, samples: Samples, places: list[np.ndarray], num_workers: int
) -> Iterator[list[dict]]:
    """The examples of each batch."""
    indices = [samples.index[place].tolist() for place in places]
    return iter(DataLoader(examples, batch_sampler=indices, collate_fn=list, num_workers=num_workers))


def batch_seed(seed: int, samples: Samples) -> int:
    """A seed for the first sample of a batch, 0 to 2**63 - 1."""
    state = np.random.SeedSequence((seed, int(samples.episode[0]), int(samples.frame[0]))).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
