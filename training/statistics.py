"""Statistics of the actions and states of a dataset, by which models normalise them, in one pass.

The format is that of OpenVLA's dataset_statistics.json: `norm_stats` of a config is `{name: statistics}`.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from tqdm import tqdm

from ..configuration.checkpoint_json import read_mapping
from ..configuration.normalization_statistics import STATE_PART, check_statistics
from ..configuration.vla_errors import ConfigError, InputError
from .dataset_columns import checked_lengths, column_names
from .dimension_names import COLUMNS, record_names
from .hub_dataset import dataset_folder
from .vector_statistics import VectorStatistics

if TYPE_CHECKING:
    from transformers import PretrainedConfig, ProcessorMixin

EPISODE = "episode_index"
EXACT_ROWS = 2_000_000
FILE = "dataset_statistics.json"


def dataset_statistics(
    frames: Dataset,
    action: str | Sequence[str] = "action",
    state: str | Sequence[str] | None = "observation.state",
    unmasked_actions: Sequence[int] = (),
    exact_rows: int = EXACT_ROWS,
    batch_size: int = 10_000,
    progress: bool = True,
) -> dict[str, Any]:
    """Statistics of each dimension of actions and states; images are not read.

    Minimum, maximum, mean and standard deviation (the population's) are exact. The 1st and 99th percentile are exact
    up to `exact_rows` rows, and beyond that those of a random sample of so many rows, see `RowSample`. Where the two
    coincide though other values occur (a gripper that is open in 99 of 100 rows), they are the minimum and maximum
    instead, with a `UserWarning` that names the dimension: a model could never predict the other values.

    Args:
        frames: one row a time step.
        action, state: names of columns of vectors, in robot units; a column of numbers is one of vectors of length 1,
            and several columns are joined to one vector in their order. `state=None` for data without a state.
        unmasked_actions: dimensions that models pass through unchanged, such as the gripper; negative ones count from
            the end.
        exact_rows: how many rows are kept in memory.
        progress: show a progress bar.

    Returns:
        `{"action": {name: [...]}, "proprio": {name: [...]}, "num_transitions": n, "num_trajectories": n}`, with a list
        over dimensions for each name of min, max, mean, std, q01, q99 and mask. `proprio` is there with a state, and
        the number of trajectories (runs of rows of one episode) with a column `episode_index`.

    Raises:
        InputError: a column is missing or does not hold vectors of numbers, two vectors differ in length, a number is
            not finite (in float32), a row has no `episode_index`, or there is no row; rows are counted from 0. Or
            `unmasked_actions` names no dimension, or `exact_rows` or `batch_size` is below 1.
    """
    return statistics_and_rows(frames, action, state, unmasked_actions, exact_rows, batch_size, progress)[0]


def statistics_and_rows(
    frames: Dataset,
    action: str | Sequence[str] = "action",
    state: str | Sequence[str] | None = "observation.state",
    unmasked_actions: Sequence[int] = (),
    exact_rows: int = EXACT_ROWS,
    batch_size: int = 10_000,
    progress: bool = True,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `dataset_statistics` returns, whose arguments and errors these are, and of each part the rows that its
    quantiles were taken of, (rows, dimensions)."""
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size} must be at least 1.")
    parts = {"action": column_names(action)} | ({} if state is None else {STATE_PART: column_names(state)})
    check_columns(frames, parts)
    episodes = RunCounter() if EPISODE in frames.column_names else None
    names = dict.fromkeys([name for part in parts.values() for name in part] + [EPISODE] * (episodes is not None))
    # Arrow, because datasets' numpy format rounds float64 to float32; and nothing is decoded.
    numbers = frames.select_columns(list(names)).with_format("arrow")
    first = numbers[:1]
    vectors = {
        part: VectorStatistics({name: width_of(first[name], name) for name in names}, exact_rows)
        for part, names in parts.items()
    }
    mask = mask_without(unmasked_actions, vectors["action"].width)
    read_numbers(numbers, vectors, episodes, batch_size, progress)
    statistics: dict[str, Any] = {part: found.result() for part, found in vectors.items()}
    statistics["action"]["mask"] = mask
    widen_quantiles(statistics)
    statistics["num_transitions"] = len(frames)
    if episodes is not None:
        statistics["num_trajectories"] = episodes.runs
    return statistics, {part: found.sample.joined() for part, found in vectors.items()}


def read_numbers(
    numbers: Dataset,
    vectors: dict[str, VectorStatistics],
    episodes: "RunCounter | None",
    batch_size: int,
    progress: bool,
) -> None:
    """Add all rows to the statistics of each part, and to the count of episodes where there is one."""
    with tqdm(total=len(numbers), unit="row", desc="statistics", disable=not progress) as bar:
        for table in numbers.iter(batch_size):
            for part in vectors.values():
                part.add(table)
            if episodes is not None:
                episodes.add(table[EPISODE])
            bar.update(len(table))


def apply_statistics(
    model_config: "PretrainedConfig", processor: "ProcessorMixin", name: str, statistics: dict[str, Any]
) -> None:
    """Let a model and its processor normalise by the statistics of one dataset, and by no others.

    Args:
        name: the `unnorm_key` of predictions.
        statistics: what `dataset_statistics` returns, or one entry of a dataset_statistics.json.
        The others, and what is raised, are those of `apply_norm_stats`.
    """
    apply_norm_stats(model_config, processor, {name: statistics})


def apply_norm_stats(
    model_config: "PretrainedConfig", processor: "ProcessorMixin", norm_stats: dict[str, dict[str, Any]]
) -> None:
    """Let a model and its processor normalise by the statistics of these datasets, and by no others.

    Args:
        model_config: of a robot's family; it gets `norm_stats`, and so does the processor.
        norm_stats: the statistics by `unnorm_key`: the content of a dataset_statistics.json.

    Raises:
        InputError: the model takes no such statistics, but normalises by numbers of its own.
        ConfigError: the statistics lack a part or are of other sizes than the model's, or model and processor do not
            normalise alike. Nothing was changed.
    """
    if getattr(model_config, "normalization_type", None) is None:
        raise InputError(
            f"a model of type {model_config.model_type!r} takes no dataset statistics: its config has no "
            "normalization_type, for its action space normalises by numbers of its own; leave them out."
        )
    kinds = model_config.normalization_type, processor.normalization_type
    if kinds[0] != kinds[1]:
        raise ConfigError(f"normalization_type is {kinds[0]!r} in the model and {kinds[1]!r} in the processor.")
    check_statistics(norm_stats, kinds[0], model_config.action_dim, model_config.state_size)
    model_config.norm_stats = copy.deepcopy(norm_stats)
    processor.norm_stats = copy.deepcopy(norm_stats)
    processor.warned_of = set()  # by the statistics before


def run_statistics(
    frames: Dataset,
    dataset: str | Path,
    file: str | Path | None = None,
    unmasked_actions: Sequence[int] = (),
    action: str | Sequence[str] = "action",
    state: str | Sequence[str] | None = None,
    quiet: bool = False,
    progress: bool = True,
    rows: int | None = None,
) -> dict[str, Any]:
    """`{unnorm_key: statistics}`; says where they come from, and which actions they normalise.

    Args:
        frames: to compute from.
        dataset: whose name is the key; a folder, or a LeRobot dataset on the Hub, may hold a dataset_statistics.json,
            which is taken unless there are `unmasked_actions`.
        file: takes the place of both.
        unmasked_actions, action, state: as in `dataset_statistics`.
        quiet: say nothing.
        progress: show a bar while computing.
        rows: of the whole dataset, where `frames` are a part of it.

    Raises:
        InputError: the file is of several datasets, or `unmasked_actions` are given beside it; or the dataset's own
            file says that it is of other columns.
    """
    folder, dataset = dataset_folder(dataset) or Path(dataset), Path(dataset)
    columns = {"action": action, STATE_PART: state}
    if file and unmasked_actions:
        raise InputError(
            f"unmasked_actions={list(unmasked_actions)} is for statistics that are computed; {file} has a mask."
        )
    own = folder / FILE
    if not file and not unmasked_actions and own.is_file():
        file = own
    if file:
        statistics = read_mapping(Path(file))
        if len(statistics) != 1:
            raise InputError(f"{file} is of the datasets {list(statistics)}; it must be of this one alone.")
        if file == own:
            check_columns_of(own, *statistics.values(), columns)
    else:
        found = dataset_statistics(frames, action, state, unmasked_actions, progress=progress)
        record_names(found, folder, columns)
        statistics = {dataset.resolve().name: found}
    if not quiet:
        [(key, found)] = statistics.items()
        mask, counted = found.get("action", {}).get("mask"), found.get("num_transitions")
        total = len(frames) if rows is None else rows
        others = "" if counted in (None, len(frames), total) else f", of {counted} rows where the dataset has {total}"
        print(
            f"statistics of {key}: {file or 'computed'}{others}; mask of the actions: {'all' if mask is None else mask}"
        )
    return statistics


def check_columns_of(file: Path, statistics: Any, columns: Mapping[str, str | Sequence[str] | None]) -> None:
    """Refuse a dataset's own statistics that are of other columns than are learnt; those of older files are unknown.

    columns: of each part.

    Raises:
        InputError: the message names both, and what to do.
    """
    for part, given in columns.items():
        found = statistics.get(part) if isinstance(statistics, dict) else None
        said = found.get(COLUMNS) if isinstance(found, dict) else None
        wanted = column_names(given) if given else None
        if said and wanted and said != wanted:
            raise InputError(
                f"{file}: its {part!r} is of the columns {said}, not of {wanted}: make a file of these (vlahub stats) "
                "and give it as the run's statistics."
            )


def widen_quantiles(statistics: dict[str, Any]) -> None:
    """Put minimum and maximum in the place of percentiles that coincide though other values occur; warns of each."""
    for part in ("action", STATE_PART):
        found = statistics.get(part, {"min": []})
        for i, low in enumerate(found["min"]):
            high, quantile = found["max"][i], found["q01"][i]
            if np.float32(quantile) == np.float32(found["q99"][i]) and np.float32(low) < np.float32(high):
                warnings.warn(
                    f"{part}, dimension {i}: at least 98 of 100 values are {quantile:.9g}, but they go from {low:.9g} "
                    f"to {high:.9g}; q01 and q99 are given as these two, or the others could never be predicted.",
                    stacklevel=3,
                )
                found["q01"][i], found["q99"][i] = low, high


class RunCounter:
    """Counts the runs of equal values in the column of episodes, batch by batch."""

    def __init__(self):
        self.runs = 0
        self.last = None

    def add(self, column: pa.ChunkedArray) -> None:
        """column: the next rows. Raises InputError where a value is missing."""
        if column.null_count:
            raise InputError(f"column {EPISODE!r} has {column.null_count} rows without a value; fill them in.")
        values = column.to_numpy()
        starts = np.count_nonzero(values[1:] != values[:-1]) + (self.runs == 0 or values[0] != self.last)
        self.runs += int(starts)
        self.last = values[-1]


def check_columns(frames: Dataset, parts: dict[str, list[str]]) -> None:
    """Refuse frames without these columns, and without rows."""
    for part, names in parts.items():
        for name in names:
            if name not in frames.column_names:
                hint = " If there is no state, pass state=None." if part == STATE_PART else ""
                raise InputError(
                    f"there is no column {name!r}; the columns are {', '.join(frames.column_names)}.{hint}"
                )
    if len(frames) == 0:
        raise InputError("the dataset has no rows, and so no statistics.")


def width_of(column: pa.ChunkedArray, name: str) -> int:
    """The length of the first vector. Raises InputError where it is none, or empty."""
    width = int(checked_lengths(column, name)[0])
    if width < 1:
        raise InputError(f"column {name!r}, row 0 is {column[0].as_py()}; it must hold a vector of numbers.")
    return width


def mask_without(unmasked: Sequence[int], width: int) -> list[bool]:
    """True for the dimensions that are normalised: all but these."""
    mask = [True] * width
    for dimension in unmasked:
        if not -width <= dimension < width:
            raise InputError(f"unmasked_actions={dimension} must be between {-width} and {width - 1}.")
        mask[dimension] = False
    return mask
