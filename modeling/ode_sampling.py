"""The ordinary differential equation of flow matching, followed from noise to actions in a few steps.

A step of `euler` asks the velocity once, one of `midpoint` and `heun` twice; their error falls with the number of steps
to the first and to the second power (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.1).
Whoever gives a number of steps counts steps, not evaluations. Steps are of one length (`uniform`), or short near the
noise and longer towards the actions (`cosine`: `1 - cos(pi / 2 * i / n)`, as in CosyVoice, arXiv 2407.05407, and the
sway sampling of F5-TTS, arXiv 2410.06885).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..configuration.ode_choices import ODE_CHOICES
from ..configuration.vla_errors import InputError
from .input_checks import one_of

Velocity = Callable[[torch.Tensor, float], torch.Tensor]


class OdeSampling(NamedTuple):
    """How a flow is followed.

    Attributes:
        num_inference_steps: a whole number above 0.
        ode_solver: `euler`, `midpoint` or `heun`.
        ode_spacing: `uniform` or `cosine`.
    """

    num_inference_steps: int
    ode_solver: str = "euler"
    ode_spacing: str = "uniform"


def check_steps(num_steps: int, name: str = "num_steps") -> None:
    """Raises InputError unless `num_steps`, an argument of this name, is a whole number above 0."""
    if not isinstance(num_steps, int) or num_steps < 1:
        raise InputError(f"{name}={num_steps!r} must be a whole number above 0.")


def chosen_sampling(
    defaults: Any,
    num_inference_steps: int | None = None,
    num_steps: int | None = None,
    ode_solver: str | None = None,
    ode_spacing: str | None = None,
) -> OdeSampling:
    """What a call asks for, the number of steps under one of its two names; what it leaves out is that of `defaults`.

    defaults: an `OdeSampling`, or a config with fields of the same names.

    Raises:
        InputError: both numbers are given, it is no whole number above 0, or a choice is unknown.
    """
    steps = one_of(num_inference_steps=num_inference_steps, num_steps=num_steps)
    steps = defaults.num_inference_steps if steps is None else steps
    check_steps(steps, "num_inference_steps" if num_steps is None else "num_steps")
    chosen = {"ode_solver": ode_solver, "ode_spacing": ode_spacing}
    for name, value in chosen.items():
        if value is not None and value not in ODE_CHOICES[name]:
            raise InputError(f"{name}={value!r} is unknown; choose from {', '.join(ODE_CHOICES[name])}.")
    solver, spacing = (getattr(defaults, name) if value is None else value for name, value in chosen.items())
    return OdeSampling(steps, solver, spacing)


def integrate(
    velocity: Velocity,
    noise: torch.Tensor,
    num_steps: int,
    solver: str = "euler",
    spacing: str = "uniform",
    visited: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Follow a velocity from noise (batch, horizon, action_dim) to actions in `num_steps` steps, in float32.

    Args:
        velocity: called with the state and the progress made, from 0 towards 1 (time is 1 minus it): at the beginning
            of a step, in `midpoint` also half-way, in `heun` also at the end, where the progress can be 1.
        num_steps, solver, spacing: see `OdeSampling`.
        visited: takes the states at which steps begin.
    """
    state = noise.float()
    for step in range(num_steps):
        if visited is not None:
            visited.append(state)
        start, end = progress_at(step, num_steps, spacing), progress_at(step + 1, num_steps, spacing)
        per_length = num_steps if spacing == "uniform" else 1 / (end - start)  # exact where it can be
        state = SOLVERS[solver](velocity, state, start, end, per_length)
    return state


def asked_progress(num_steps: int, solver: str = "euler", spacing: str = "uniform") -> list[float]:
    """Where `integrate` asks the velocity, in order and each place once: what depends on time alone is made before."""
    ends = [progress_at(step, num_steps, spacing) for step in range(num_steps + 1)]
    asked = (ASKED[solver](ends[step], ends[step + 1]) for step in range(num_steps))
    return list(dict.fromkeys(place for places in asked for place in places))


def times_at(progresses: Sequence[float], device: torch.device) -> torch.Tensor:
    """(places,) float32, 1 minus the progress; filled in on the device, which need not wait for numbers of Python."""
    return torch.stack([torch.full((), 1 - progress, dtype=torch.float32, device=device) for progress in progresses])


def progress_at(step: int, num_steps: int, spacing: str) -> float:
    """From 0 to 1, where a step begins, and that before it ends."""
    share = step / num_steps
    return share if spacing == "uniform" else 1 - math.cos(math.pi / 2 * share)


def euler_step(velocity: Velocity, state: torch.Tensor, start: float, end: float, per_length: float) -> torch.Tensor:
    """The state at `end`; per_length: 1 over the length of the step, which velocities are divided by."""
    return state - velocity(state, start).float() / per_length


def midpoint_step(velocity: Velocity, state: torch.Tensor, start: float, end: float, per_length: float) -> torch.Tensor:
    """As `euler_step`, along the velocity half-way."""
    half_way = state - velocity(state, start).float() / (2 * per_length)
    return state - velocity(half_way, (start + end) / 2).float() / per_length


def heun_step(velocity: Velocity, state: torch.Tensor, start: float, end: float, per_length: float) -> torch.Tensor:
    """As `euler_step`, along the mean of the velocities at its beginning and at its end."""
    first = velocity(state, start).float()
    second = velocity(state - first / per_length, end).float()
    return state - (first + second) / (2 * per_length)


ASKED = {
    "euler": lambda start, end: (start,),
    "midpoint": lambda start, end: (start, (start + end) / 2),
    "heun": lambda start, end: (start, end),
}
SOLVERS = {"euler": euler_step, "midpoint": midpoint_step, "heun": heun_step}
