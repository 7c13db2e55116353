"""`vlahub predict`: images and what belongs to them in, actions or trajectories out, as a table and as JSON."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ...configuration.vla_errors import InputError
from ..files.json_output import json_text
from ..files.output_file import check_output_file, files_of, result_file
from ..files.output_guard import json_of
from .command import Command
from .error_boundary import ending_at_interrupt

ROBOTS = ("instruction", "state", "unnorm_key")
SAMPLING = ("num_traj_samples", "top_p", "top_k", "temperature", "max_new_tokens")
DRIVING = ("history", "history_frame", "plot", *SAMPLING)
FRAMES = ("ego", "world")
RESULTS = ({"actions"}, {"pred_xyz", "reasoning", "has_start_token"})


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


def run_predict(arguments: argparse.Namespace) -> None:
    """Print the prediction, and write it where that is asked for.

    Raises:
        ConversionError: the checkpoint is of no family known here, or a scene cannot be read.
        InputError: images, history or options do not fit the model, or an output may not be written.
    """
    with ending_at_interrupt():
        from ..alpamayo_r1.trajectory_plot import check_picture_format, is_plot
        from ..checkpoint_loading import model_of
        from ..job import check_device
        from ..source_folder import source_folder

    check_device(arguments.device)
    given = [Path(arguments.checkpoint), *(arguments.images or ()), *filter(None, [arguments.history])]
    for output, is_ours in ((arguments.output, is_prediction), (arguments.plot, is_plot)):
        if output:  # before a download
            check_output_file(output, is_ours, files_of(given))
    folder = source_folder(arguments.checkpoint)
    model = model_of(folder)
    drives = hasattr(model, "sample_trajectories")
    refuse_unused(arguments, model.config_class.model_type, drives)
    if arguments.output and arguments.plot and arguments.output.resolve() == arguments.plot.resolve():
        raise InputError(f"--output and --plot both name {arguments.output}; they are two files.")
    inputs = files_of([folder, *given])
    with (
        optional_file(arguments.output, is_prediction, inputs) as output,
        optional_file(arguments.plot, is_plot, inputs) as plot,
    ):
        if plot:
            check_picture_format(arguments.plot)  # before anything is computed
        result = predicted(folder, arguments, drives, plot)
        if output:
            output.write_text(json_text(result, output.name, indent=1), encoding="utf-8")


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


def predicted(folder: Path, arguments: argparse.Namespace, drives: bool, plot: Path | None) -> dict:
    """What is written; plot: where to draw the picture."""
    with ending_at_interrupt():
        import torch

        from ..alpamayo_r1.driving_prediction import predict_trajectories
        from ..prediction import predict_actions

    torch.manual_seed(arguments.seed)
    images, device = arguments.images, arguments.device
    if drives:
        sampling = {name: value for name in SAMPLING if (value := getattr(arguments, name)) is not None}
        frame = arguments.history_frame or "ego"
        return predict_trajectories(folder, images, arguments.history, frame, sampling, plot, device)
    return predict_actions(folder, images, arguments.instruction, arguments.state, arguments.unnorm_key, device)


def optional_file(
    path: Path | None, is_ours: Callable[[Path], bool], inputs: list[Path]
) -> AbstractContextManager[Path | None]:
    return nullcontext() if path is None else result_file(path, is_ours, inputs)


def is_prediction(path: Path) -> bool:
    """Whether a file holds what this command writes."""
    content = json_of(path)
    return content is not None and set(content) in RESULTS


PREDICT = Command(
    summary="predict with a checkpoint",
    text="Predict actions, or a trajectory, with a checkpoint that vlahub wrote. Required are CKPT and, for a robot, "
    "--images and --instruction, or, for a driving model, --history. An option that the model has no use for is "
    "refused.",
    example='predict my-vla --images view_0.png view_1.png --instruction "pick up the bowl" --output actions.json',
    add_arguments=add_predict_arguments,
    run=run_predict,
)
