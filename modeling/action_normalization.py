"""Between robot units and the normalised range that models see, by the statistics of the training data.

`bounds` maps [min, max] and `bounds_q99` maps [1st, 99th percentile] to [-1, 1]; `normal` maps to mean 0 and standard
deviation 1. Dimensions that the statistics' `mask` leaves out (grippers, mostly) pass unchanged.
Upstream: moojink/openvla-oft, experiments/robot/openvla_utils.py and prismatic/vla/datasets/rlds/utils/data_utils.py.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from ..configuration.normalization_statistics import STATISTICS, check_normalization_type
from ..configuration.vla_errors import ConfigError, InputError

EPSILON = 1e-8
RESOLUTION = torch.finfo(torch.float32).eps  # relative; of recorded data
KEPT_TERMS = 64  # datasets times devices; a few hundred bytes each


class AffineTerms(NamedTuple):
    """What the statistics of one dataset say of each dimension, (dimensions,) each, on a device.

    reference: the lower bound or the mean; span: the range or the standard deviation; mask: bool, false on dimensions
    that pass unchanged.
    """

    reference: torch.Tensor
    span: torch.Tensor
    mask: torch.Tensor


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
    if not isinstance(unnorm_key, str) or unnorm_key not in norm_stats:
        raise InputError(f"unnorm_key={unnorm_key!r} is unknown; choices: {choices}.")
    return norm_stats[unnorm_key]


def unnormalize(values: torch.Tensor, statistics: Mapping[str, Any], normalization_type: str) -> torch.Tensor:
    """values: (..., dimensions), normalised -> robot units, float32, by the published formula in float64."""
    return in_robot_units(values, affine_terms(statistics, normalization_type, values), normalization_type)


def in_robot_units(values: torch.Tensor, terms: AffineTerms, normalization_type: str) -> torch.Tensor:
    """As `unnormalize`, by terms that `affine_terms` made before: nothing here is a number of Python."""
    reference, span, mask = terms
    exact = values.to(reference.dtype)
    share = exact if normalization_type == "normal" else (exact + 1) / 2
    return torch.where(mask, share * (span + EPSILON) + reference, exact).float()


def normalize(
    values: torch.Tensor, statistics: Mapping[str, Any], normalization_type: str, clip_unmasked: bool = True
) -> torch.Tensor:
    """values: (..., dimensions), robot units -> normalised, float32; ranges are clipped to [-1, 1], as in training.

    By the published formula in float64: `2 * (values - low) / (high - low + 1e-8) - 1`. The value of a constant
    dimension is its lower bound (or mean), also where one of the two was rounded to float32, as recorded data are: it
    becomes exactly -1 (or 0).

    clip_unmasked: whether dimensions that pass unchanged are clipped, too, as the published code does with the state
    and not with the actions that a model learns.
    """
    reference, span, mask = affine_terms(statistics, normalization_type, values)
    exact = values.to(reference.dtype)
    is_constant = (span <= RESOLUTION * reference.abs()) & (exact.float() == reference.float())
    share = torch.where(is_constant, 0, exact - reference) / (span + EPSILON)
    if normalization_type == "normal":
        return torch.where(mask, share, exact).float()
    clipped = (2 * share - 1).clamp(-1, 1)
    return torch.where(mask, clipped, exact.clamp(-1, 1) if clip_unmasked else exact).float()


def affine_terms(statistics: Mapping[str, Any], normalization_type: str, like: torch.Tensor) -> AffineTerms:
    """The terms on the device of `like`, in float64 where there is; not to be written into.

    They are made once for each device and content of the statistics, since handing numbers to a device waits for it:
    statistics that were changed, also where they lie, are other ones.

    Raises:
        ConfigError: the statistics lack those of this kind of normalisation, or it is unknown.
    """
    check_normalization_type(normalization_type)
    needed = STATISTICS[normalization_type]
    if missing := [name for name in needed if name not in statistics]:
        raise ConfigError(
            f"normalization_type={normalization_type!r} needs {' and '.join(needed)} of each dimension, and the "
            f"statistics lack {', '.join(missing)}: they hold {', '.join(sorted(statistics))}."
        )
    first, second = (tuple(statistics[name]) for name in needed)
    mask = statistics.get("mask")
    mask = tuple(mask) if mask is not None and len(mask) else (True,) * len(first)
    make = terms_of if torch.compiler.is_compiling() else kept_terms
    return make(first, second, mask, normalization_type == "normal", like.device)


def terms_of(first: tuple, second: tuple, mask: tuple, is_normal: bool, device: torch.device) -> AffineTerms:
    """See `affine_terms`."""
    dtype = torch.float32 if device.type == "mps" else torch.float64  # float32 loses EPSILON beside 1
    start, end = (torch.tensor(numbers, dtype=dtype, device=device) for numbers in (first, second))
    return AffineTerms(start, end if is_normal else end - start, torch.tensor(mask, device=device))


@lru_cache(KEPT_TERMS)
def kept_terms(*of: Any) -> AffineTerms:
    """`terms_of`, kept for the next call; also for one with gradients, whichever came first."""
    with torch.inference_mode(False):
        return terms_of(*of)
