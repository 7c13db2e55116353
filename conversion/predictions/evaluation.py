"""How a robot's model is evaluated on the command line, as a value; nothing here is slow to import."""

import argparse
from pathlib import Path
from typing import Any

from .prediction import PredictionKind

TOLERANCE = 5  # frames
# What is written of every kind of model.
SHARED = frozenset({"checkpoint", "dataset", "settings", "samples", "episodes", "dimensions"})
SHARED |= {"mae", "rmse", "per_step", "per_episode"}


def add_robot_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("robots (refused for a driving model)")
    group.add_argument(
        "--action-column",
        "--action",
        dest="action",
        nargs="+",
        metavar="COLUMN",
        help="one vector of actions, joined of several columns in their order (default: action)",
    )
    group.add_argument(
        "--embodiment-column", metavar="COLUMN", help="of the robot's number, of several (default: embodiment_id)"
    )
    group.add_argument("--embodiment-id", type=int, metavar="N", help="of all frames, in the place of a column")
    group.add_argument("--unnorm-key", metavar="KEY", help="whose statistics to use, where there are several")
    group.add_argument(
        "--gripper",
        type=int,
        nargs="+",
        metavar="I",
        help="dimensions whose switches are compared; -1 is the last (default: those named so in the dataset, else "
        "those that the statistics pass unchanged, else the last)",
    )
    group.add_argument(
        "--gripper-threshold",
        type=float,
        metavar="X",
        help="action above which a gripper is in one state, and in the other else (default: the middle of the least "
        "and the greatest recorded one)",
    )
    group.add_argument(
        "--gripper-tolerance",
        type=int,
        metavar="FRAMES",
        help=f"how far a predicted switch may be from the recorded one (default {TOLERANCE})",
    )


def evaluate_robot(folder: Path, arguments: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    from .robot_evaluation import evaluate_actions

    if arguments.gripper_tolerance is None:
        arguments.gripper_tolerance = TOLERANCE
    return evaluate_actions(folder, arguments, files.get("plot"))


ROBOT_EVALUATION = PredictionKind(
    does="moves a robot",
    options=(
        "action",
        "embodiment_column",
        "embodiment_id",
        "unnorm_key",
        "gripper",
        "gripper_threshold",
        "gripper_tolerance",
    ),
    add_arguments=add_robot_arguments,
    predict=evaluate_robot,
    result=SHARED | {"action_error", "recorded_std", "gripper"},
)
