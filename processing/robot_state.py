"""The robot's state as a caller gives it, checked and brought to rows of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..configuration.vla_errors import InputError
from ..modeling.action_normalization import find_statistics, normalize


def state_rows(state: Any, batch_size: int, dimensions: int | None, field: str) -> torch.Tensor | None:
    """state: (dimensions,) for a batch of one, or (batch, dimensions) -> (batch, dimensions) float64.

    Args:
        dimensions: size of the state; `None` for a model that takes none, and the result is `None`.
        field: the setting that holds `dimensions`, for messages.

    Raises:
        InputError: the state is missing or not wanted, has another shape, or is not finite.
    """
    if dimensions is None:
        if state is not None:
            raise InputError(f"state was given, but this checkpoint takes no robot state ({field} is None).")
        return None
    if state is None:
        raise InputError(f"state is missing: this checkpoint needs the robot's {dimensions} state values.")
    values = finite_numbers("state", state, f"({field},) or (batch, {field})", torch.float64)
    if values.dim() == 1 and batch_size == 1:
        values = values.unsqueeze(0)
    if values.shape != (batch_size, dimensions):
        raise InputError(f"state has shape {tuple(values.shape)}; (batch, {field}) is {(batch_size, dimensions)}.")
    return values


def state_statistics(norm_stats: Mapping[str, Any], unnorm_key: str | None, parts: Sequence[str]) -> dict[str, Any]:
    """The statistics of the state, under the first of the names `parts` that there is.

    Raises InputError for an unknown or ambiguous key and for statistics without any of the parts.
    """
    statistics = find_statistics(norm_stats, unnorm_key)
    found = [statistics[part] for part in parts if part in statistics]
    if not found:
        names = " or ".join(map(repr, parts))
        raise InputError(f"the statistics of unnorm_key={unnorm_key!r} have no {names} part to normalise by.")
    return found[0]


def normalized_rows(
    rows: torch.Tensor,
    norm_stats: Mapping[str, Any],
    unnorm_key: str | Sequence[str] | None,
    parts: Sequence[str],
    normalization_type: str,
) -> torch.Tensor:
    """rows: (batch, dimensions) states in robot units -> normalised, float32.

    Args:
        unnorm_key: whose statistics; a list has one for each row.
        parts: names of the state's statistics, see `state_statistics`.

    Raises:
        InputError: as in `state_statistics`, or a list of keys has another length than the batch.
    """
    if unnorm_key is None or isinstance(unnorm_key, str):
        return normalize(rows, state_statistics(norm_stats, unnorm_key, parts), normalization_type)
    if len(unnorm_key) != len(rows):
        raise InputError(f"unnorm_key has {len(unnorm_key)} entries, the batch {len(rows)} rows; they must be as many.")
    statistics = [state_statistics(norm_stats, key, parts) for key in unnorm_key]
    return torch.stack([normalize(*pair, normalization_type) for pair in zip(rows, statistics, strict=True)])


def finite_numbers(name: str, value: Any, form: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The value as a tensor of `dtype` and any shape, on the CPU and without a gradient.

    Raises InputError unless it holds real numbers that are finite in float32, in which models compute.
    """
    try:
        array = value.detach() if isinstance(value, torch.Tensor) else np.asarray(value)
        numbers = torch.as_tensor(array).cpu()
        if numbers.is_complex():
            raise TypeError(f"{numbers.dtype} is not real")
        numbers = numbers.to(dtype)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"{name} must be numbers, {form}: {error}") from error
    if not numbers.float().isfinite().all():
        raise InputError(f"{name} holds values that are not finite: {numbers.tolist()}.")
    return numbers
