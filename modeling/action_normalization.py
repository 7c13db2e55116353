"""Between robot units and the normalised range that models see, by the statistics of the training data.

`bounds` maps [min, max] and `bounds_q99` maps [1st, 99th percentile] to [-1, 1]; `normal` maps to mean 0 and standard
deviation 1. Dimensions that the statistics' `mask` leaves out (grippers, mostly) pass unchanged.
Upstream: moojink/openvla-oft, experiments/robot/openvla_utils.py and prismatic/vla/datasets/rlds/utils/data_utils.py.
"""

from collections.abc import Mapping
from typing import Any

import torch

from ..configuration.normalization_statistics import STATISTICS
from ..configuration.vla_errors import InputError

EPSILON = 1e-8


def find_statistics(norm_stats: Mapping[str, Any], unnorm_key: str | None) -> dict[str, Any]:
    """The statistics of one dataset; the key may be left out where there is only one.

    Raises:
        InputError: the key is unknown or ambiguous; the message lists the choices.
    """
    choices = ", ".join(sorted(norm_stats)) or "none: the checkpoint holds no statistics"
    if unnorm_key is None:
        if len(norm_stats) != 1:
            raise InputError(f"unnorm_key must say which dataset's statistics to use; choices: {choices}.")
        return next(iter(norm_stats.values()))
    if unnorm_key not in norm_stats:
        raise InputError(f"unnorm_key={unnorm_key!r} is unknown; choices: {choices}.")
    return norm_stats[unnorm_key]


def affine_terms(
    statistics: Mapping[str, Any], normalization_type: str, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scale, centre and mask of `units = normalised * scale + centre`, each (dimensions,), float32."""
    first, second = (
        torch.tensor(statistics[name], dtype=torch.float32, device=like.device)
        for name in STATISTICS[normalization_type]
    )
    if normalization_type == "normal":
        centre, scale = first, second + EPSILON
    else:
        low, high = first, second
        scale = (high - low + EPSILON) / 2
        centre = low + scale
    mask = torch.tensor(statistics.get("mask") or [True] * len(centre), device=like.device)
    return scale, centre, mask


def unnormalize(values: torch.Tensor, statistics: Mapping[str, Any], normalization_type: str) -> torch.Tensor:
    """values: (..., dimensions), normalised -> robot units, float32."""
    scale, centre, mask = affine_terms(statistics, normalization_type, values)
    values = values.float()
    return torch.where(mask, values * scale + centre, values)


def normalize(
    values: torch.Tensor, statistics: Mapping[str, Any], normalization_type: str, clip_unmasked: bool = True
) -> torch.Tensor:
    """values: (..., dimensions), robot units -> normalised, float32; ranges are clipped to [-1, 1], as in training.

    clip_unmasked: whether dimensions that pass unchanged are clipped, too, as the published code does with the state
    and not with the actions that a model learns.
    """
    scale, centre, mask = affine_terms(statistics, normalization_type, values)
    values = values.float()
    result = torch.where(mask, (values - centre) / scale, values)
    if normalization_type == "normal":
        return result
    clipped = result.clamp(-1, 1)
    return clipped if clip_unmasked else torch.where(mask, clipped, result)
