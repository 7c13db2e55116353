"""Classifier-free guidance of Alpamayo-R1's flow: what navigation changes about a velocity, weighed.

Source: Guided Flows (arXiv 2311.13443, equation 6); published form: NVlabs/alpamayo1.5, diffusion/flow_matching.py.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch

from ...configuration.vla_errors import InputError

Velocity = Callable[..., torch.Tensor]
LARGEST = 3e38  # of float32, in which velocities are mixed


def guided_velocity(guided: Velocity, unguided: Velocity | None, weight: float) -> Velocity:
    """`(1 - weight) * unguided + weight * guided`, both at one x and one t; of weights 1 and 0 only one is asked.

    Raises:
        InputError: there is no unguided one, or the weight is no finite number.
    """
    check_finite_number("inference_guidance_weight", weight)
    if unguided is None:
        raise InputError("guidance needs unguided_step_fn, a velocity without what step_fn is guided by.")
    if weight in (0, 1):
        return guided if weight == 1 else unguided
    return lambda x, t: mixed(guided(x=x, t=t), unguided(x=x, t=t), weight)


def mixed(guided: torch.Tensor, unguided: torch.Tensor, weight: float) -> torch.Tensor:
    """Velocities of any one shape, in float32."""
    return (1 - weight) * unguided.float() + weight * guided.float()


def check_finite_number(name: str, value: Any, least: float = -math.inf) -> None:
    """Raises InputError for anything but a number, Python's or numpy's, that is finite in float32, or for one below the
    least."""
    is_number = isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= LARGEST
    if not is_number or value < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise InputError(f"{name}={value!r} must be a finite number{bound}.")
