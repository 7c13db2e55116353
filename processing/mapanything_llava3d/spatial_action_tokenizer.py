"""Actions as tokens: one for the translation, one for the rotation and one for the gripper of a step (SpatialVLA).

A token stands for a cell of a three-dimensional grid, whose bins are evenly spaced or hold equal shares of a normal
distribution that was fitted to the training data. Everything here is arithmetic on ids; the strings of the tokens are
needed only by the tokenizer that holds them.

Sources: arXiv 2501.15830; SpatialVLA/SpatialVLA and lululuyuanyuanyuanGe/3dvla-starvla_framework, action_tokenizer.py.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers.utils import logging

from ...configuration.vla_errors import ConfigError, InputError
from .spatial_action_bins import RANGES, checked_edges, make_bins

ACTION_TOKEN = "<ACTION{:05d}>"
ACTION_DIM, TOKENS_PER_STEP = 7, 3
SETTINGS = ("num_bins", "gs_params", "bin_policy", "use_spherical", "min_sigma")
ROUNDING = 1e-3

logger = logging.get_logger(__name__)


class SpatialActionTokenizer:
    """Between actions (x, y, z, roll, pitch, yaw, gripper), normalised, and three token ids a step.

    Args:
        num_bins: `{"translation": {"theta_bins": n, "phi_bins": n, "r_bins": n}, "rotation": {"roll_bins": n,
            "pitch_bins": n, "yaw_bins": n}, "gripper": n}`; of the gripper's tokens two are used, open and closed.
        gs_params: `{"theta": {"mu": m, "sigma": s}, "phi": ..., "r": ..., "roll": ..., "pitch": ..., "yaw": ...}`; each
            bin then holds the same share of that normal distribution inside the axis' range. Without it bins are even.
        bin_policy: the edges themselves, `{"translation": {"theta_bins": [n + 1 values], ...}, "rotation": ...}`; wins
            over `gs_params`.
        use_spherical: whether the translation is cut into bins of direction and length. If not, x, y and z are binned
            as they are, by edges with the same three names; give a `bin_policy` then, for the ranges stay those of
            angles, as published.
        min_sigma: smaller standard deviations count as this one.
        first_token_id: the id of `<ACTION00000>`; the others follow it.

    Raises:
        ConfigError: a field is missing or cannot be; the message names it.
    """

    def __init__(
        self,
        num_bins: Mapping[str, Any],
        gs_params: Mapping[str, Any] | None = None,
        bin_policy: Mapping[str, Any] | None = None,
        use_spherical: bool = True,
        min_sigma: float = 0.0,
        first_token_id: int = 0,
    ):
        given = num_bins, gs_params, bin_policy, use_spherical, min_sigma
        self._settings = _plain(dict(zip(SETTINGS, given, strict=True)))
        self.use_spherical = use_spherical
        self.first_token_id = first_token_id
        self.counts = {part: [_count(num_bins, part, axis) for axis in axes] for part, axes in RANGES.items()}
        self.counts["gripper"] = [_count(num_bins, "gripper")]
        bins = bin_policy or make_bins(num_bins, gs_params, min_sigma)
        self.bins = {part: checked_edges(part, bins, self.counts[part]) for part in RANGES}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any], first_token_id: int = 0) -> "SpatialActionTokenizer":
        """Build from what `to_dict` returned. Raises ConfigError for a setting that does not exist."""
        if not isinstance(settings, Mapping) or not {"num_bins"} <= set(settings) <= set(SETTINGS):
            raise ConfigError(f"settings of action tokens are num_bins and perhaps {SETTINGS[1:]}, got {settings!r}.")
        return cls(**settings, first_token_id=first_token_id)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of tokens by part, in the order of their ids."""
        return {part: int(np.prod(counts)) for part, counts in self.counts.items()}

    @property
    def vocab_size(self) -> int:
        """Number of tokens of all parts."""
        return sum(self.sizes.values())

    @property
    def id_ranges(self) -> dict[str, tuple[int, int]]:
        """The first and the last token id of each part."""
        ends = self.first_token_id + np.cumsum(list(self.sizes.values()))
        return {part: (int(end) - n, int(end) - 1) for (part, n), end in zip(self.sizes.items(), ends, strict=True)}

    def encode(self, actions: np.ndarray) -> np.ndarray:
        """actions: (..., 7) -> ids (..., 3) int64.

        Values beyond [-1, 1] count as -1 or 1; the gripper is open from 0.5 on. Raises InputError for another number of
        values.
        """
        actions = np.clip(_with_width("actions", actions, ACTION_DIM), -1, 1)
        place = actions[..., :3]
        cells = [
            self._cell("translation", spherical(place) if self.use_spherical else place),
            self._cell("rotation", actions[..., 3:6]),
            (actions[..., 6] >= 0.5).astype(np.int64),
        ]
        return np.stack(cells, -1) + self._first_ids()

    def decode(self, token_ids: np.ndarray) -> np.ndarray:
        """token_ids: (..., 3) -> actions (..., 7) float64, the centres of the bins; translations are cut to [-1, 1].

        An id outside its part's range counts as the nearest one in it, as published. Raises InputError for another
        number of ids.
        """
        cells = _with_width("token_ids", token_ids, TOKENS_PER_STEP) - self._first_ids()
        cells = np.clip(cells, 0, np.array(list(self.sizes.values())) - 1)
        place = self._centres("translation", cells[..., 0])
        place = np.clip(cartesian(place) if self.use_spherical else place, -1, 1)
        rotation = self._centres("rotation", cells[..., 1])
        return np.concatenate([place, rotation, (cells[..., 2:] > 0).astype(place.dtype)], -1)

    def as_steps(self, token_ids: Any, end_ids: Sequence[int] = ()) -> np.ndarray:
        """token_ids: (batch, 3 * steps) or (3 * steps,), as generated -> (batch, steps, 3), ready for `decode`.

        Columns at the end that hold nothing but `end_ids` are left out.
        Raises InputError for another number of ids and for an id that is no action token of its place.
        """
        try:
            rows = np.atleast_2d(np.asarray(token_ids))
        except ValueError as error:
            raise InputError(f"token_ids must be (batch, {TOKENS_PER_STEP} * steps): {error}") from error
        inside = np.flatnonzero(~np.isin(rows, end_ids).all(axis=0))
        rows = rows[:, : inside[-1] + 1] if len(inside) else rows
        if rows.ndim != 2 or rows.size == 0 or rows.shape[1] % TOKENS_PER_STEP:
            raise InputError(f"token_ids have shape {rows.shape}; a step has {TOKENS_PER_STEP} action tokens.")
        steps = rows.reshape(len(rows), -1, TOKENS_PER_STEP)
        first, last = np.array(list(self.id_ranges.values())).T
        wrong = np.argwhere((steps < first) | (steps > last))
        if len(wrong):
            row, step, place = wrong[0].tolist()
            part, position = list(self.sizes)[place], step * TOKENS_PER_STEP + place
            raise InputError(
                f"token_ids[{row}, {position}] is {steps[row, step, place]}; the ids of {part} tokens are "
                f"{first[place]} to {last[place]}."
            )
        return steps

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON; all but `first_token_id`, which is a matter of the vocabulary."""
        return copy.deepcopy(self._settings)

    def _first_ids(self) -> np.ndarray:
        return np.array([first for first, _ in self.id_ranges.values()])

    def _cell(self, part: str, values: np.ndarray) -> np.ndarray:
        """values: (..., 3) -> (...) int64, the number of the grid's cell that they lie in."""
        bins = [np.digitize(values[..., i], edges[1:-1]) for i, edges in enumerate(self.bins[part].values())]
        return np.ravel_multi_index(bins, self.counts[part])

    def _centres(self, part: str, cell: np.ndarray) -> np.ndarray:
        """cell: (...) int64 -> (..., 3), the centre of the grid's cell."""
        bins = np.unravel_index(cell, self.counts[part])
        centres = [(edges[:-1] + edges[1:]) / 2 for edges in self.bins[part].values()]
        return np.stack([centre[index] for centre, index in zip(centres, bins, strict=True)], -1)


class ActionTokenizer:
    """One token for each value of an action, from evenly spaced ones; a value counts as the next one at or above it.

    Args:
        num_bins: number of tokens.
        min_action, max_action: the smallest and the largest value.
        first_token_id: the id of `<ACTION00000>`; the others follow it.
    """

    def __init__(self, num_bins: int = 256, min_action: float = -1.0, max_action: float = 1.0, first_token_id: int = 0):
        self.values = np.linspace(min_action, max_action, num_bins)
        self.first_token_id = first_token_id

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self.values)

    def encode(self, actions: np.ndarray) -> np.ndarray:
        """actions: any shape -> ids, same shape, int64; values out of range count as the nearest in it."""
        actions = np.clip(actions, self.values[0], self.values[-1])
        return np.digitize(actions, self.values, right=True) + self.first_token_id

    def decode(self, token_ids: np.ndarray) -> np.ndarray:
        """token_ids: any shape -> values, same shape, float64; ids out of range count as the nearest in it."""
        return self.values[np.clip(np.asarray(token_ids) - self.first_token_id, 0, self.vocab_size - 1)]


def warn_of_cut(actions: np.ndarray) -> None:
    """Say once that actions (..., 7) to learn go beyond -1 and 1, whose tokens they get: are they in robot units?"""
    outside = np.abs(actions) > 1 + ROUNDING
    if outside.any():
        dimensions = np.flatnonzero(outside.reshape(-1, outside.shape[-1]).any(axis=0)).tolist()
        logger.warning_once(
            f"{outside.mean():.1%} of the numbers in `actions` lie beyond -1 to 1 (dimensions {dimensions}, up to "
            f"{np.abs(actions).max():.4g}) and get the tokens of -1 and 1. Actions are taken normalised; are these in "
            "the robot's units?"
        )


def add_action_tokens(tokenizer: Any, count: int) -> int:
    """Make `<ACTION00000>` up to the count'th part of a tokenizer's vocabulary, if they are not. Returns the first id.

    Raises:
        ConfigError: the tokenizer holds another number of them, or their ids do not follow one another.
    """
    tokens = [ACTION_TOKEN.format(i) for i in range(count)]
    vocabulary = tokenizer.get_vocab()
    held = sum(token in vocabulary for token in tokens)
    if held not in (0, count) or ACTION_TOKEN.format(count) in vocabulary:
        found = f"{held} of them" if held < count else f"{ACTION_TOKEN.format(count)} too"
        raise ConfigError(f"the settings ask for {count} action tokens, but the tokenizer holds {found}.")
    if not held:
        tokenizer.add_tokens(tokens, special_tokens=True)
    ids = tokenizer.convert_tokens_to_ids(tokens)
    if ids != list(range(ids[0], ids[0] + count)):
        raise ConfigError(f"the ids of the tokenizer's {count} action tokens do not follow one another.")
    return ids[0]


def spherical(place: np.ndarray) -> np.ndarray:
    """(..., 3) x, y, z -> (..., 3) polar angle, azimuth (radians), length."""
    x, y, z = np.moveaxis(place, -1, 0)
    across = np.sqrt(x**2 + y**2)
    return np.stack([np.arctan2(across, z), np.arctan2(y, x), np.sqrt(x**2 + y**2 + z**2)], -1)


def cartesian(place: np.ndarray) -> np.ndarray:
    """(..., 3) polar angle, azimuth (radians), length -> (..., 3) x, y, z."""
    theta, phi, r = np.moveaxis(place, -1, 0)
    return np.stack([r * np.sin(theta) * np.cos(phi), r * np.sin(theta) * np.sin(phi), r * np.cos(theta)], -1)


def _count(num_bins: Mapping[str, Any], *path: str) -> int:
    value: Any = num_bins
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    least = 2 if path == ("gripper",) else 1
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"num_bins{list(path)} must be a whole number from {least} on, got {value!r}.")
    return value


def _with_width(name: str, values: Any, width: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim == 0 or values.shape[-1] != width:
        raise InputError(f"{name} must be (..., {width}), got shape {values.shape}.")
    return values


def _plain(value: Any) -> Any:
    """The same without numpy and other containers than dict and list."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value
