"""The options of `vlahub predict`, and which of them a family has a use for."""

import argparse
from pathlib import Path

from ...configuration.vla_errors import InputError

ROBOTS = ("instruction", "state", "unnorm_key")
SAMPLING = ("num_traj_samples", "top_p", "top_k", "temperature", "max_new_tokens")
DRIVING = ("history", "history_frame", "plot", *SAMPLING)
FRAMES = ("ego", "world")


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="folder or Hub repository of a checkpoint")
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="files, or one folder, in order, or NAME=FILE for each view; a driving model reads a folder's subfolders "
        "as cameras, files as frames",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT.json",
        help="where to write the prediction; of files that exist only an earlier prediction is replaced",
    )
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of text and noise (default 0)")
    robot = parser.add_argument_group("robots (refused for a driving model)")
    robot.add_argument("--instruction", metavar="TEXT", help="what to do; required")
    robot.add_argument("--state", type=float, nargs="+", metavar="X", help="of the robot; zeros by default")
    robot.add_argument("--unnorm-key", metavar="KEY", help="whose statistics to use, where there are several")
    car = parser.add_argument_group("driving, Alpamayo-R1 (refused for robots)")
    car.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help=".json or .npz with ego_history_xyz and ego_history_rot, required; an .npz may hold images and "
        "ego_future_xyz, too",
    )
    car.add_argument(
        "--history-frame",
        choices=FRAMES,
        help="frame of the history: of its last pose, or any other, which is converted (default ego)",
    )
    car.add_argument("--num-traj-samples", type=int, metavar="N", help="trajectories to draw (default 6)")
    car.add_argument("--top-p", type=float, metavar="P", help="of the reasoning (default 0.98)")
    car.add_argument("--top-k", type=int, metavar="K", help="of the reasoning; 1 is greedy")
    car.add_argument("--temperature", type=float, metavar="T", help="of the reasoning (default 0.6)")
    car.add_argument("--max-new-tokens", type=int, metavar="N", help="of the reasoning")
    car.add_argument("--plot", type=Path, metavar="OUT.png", help="a picture of images, trajectories and reasoning")


def refuse_unused(arguments: argparse.Namespace, model_type: str, drives: bool) -> None:
    """Refuse options that were given and that the model has no use for.

    Raises:
        InputError: the message names them.
    """
    unused = [name for name in (ROBOTS if drives else DRIVING) if getattr(arguments, name) is not None]
    if unused:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        kind = "drives and reasons" if drives else "moves a robot"
        raise InputError(f"{options}: a model of the kind {model_type!r} {kind}, and has no use for it.")
