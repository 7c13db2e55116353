"""Options of `predict` and `evaluate`: how a head goes from noise to actions. Nothing here is slow to import."""

import argparse
from collections.abc import Mapping
from typing import Any

from ...configuration.ode_choices import ODE_CHOICES
from ...configuration.vla_errors import InputError
from ..option_values import count, from_zero

FLOW = ("num_inference_steps", "ode_solver", "ode_spacing", "guidance_scale")


def add_flow_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--num-inference-steps", type=count, metavar="N", help="of flow matching or diffusion (default: the model's)"
    )
    for name, what in {"ode_solver": "each step of a flow is made", "ode_spacing": "the steps of a flow lie"}.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, choices=ODE_CHOICES[name], help=f"how {what} (default: the model's)")
    parser.add_argument(
        "--guidance-scale", type=from_zero, metavar="X", help="of a DiT head that learnt it; 1 is none (default: the "
        "model's)"
    )  # fmt: skip


def flow_options(config: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given, as arguments of a prediction.

    given: values by the names of `FLOW`, `None` where an option was not given; config: of the model.

    Raises:
        InputError: the model's head has no use for one of them.
    """
    found = {name: given[name] for name in FLOW if given[name] is not None}
    for name, value in found.items():
        if not getattr(config, USED_BY[name][0]):
            raise InputError(f"--{name.replace('_', '-')} {value}: {USED_BY[name][1]}; leave it out.")
    return found


NO_FLOW = "this model's action head follows no flow"
USED_BY = {  # the answer of a config, and what it means where that is no
    "num_inference_steps": ("draws_noise", "this model's action head takes a single one"),
    "ode_solver": ("follows_flow", NO_FLOW),
    "ode_spacing": ("follows_flow", NO_FLOW),
    "guidance_scale": ("can_be_guided", "this model has no DiT head that was trained with condition_dropout"),
}
