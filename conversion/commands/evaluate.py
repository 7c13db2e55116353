"""`vlahub evaluate`: how far predictions are from what was recorded, as a table, as JSON and as a picture."""

import argparse
import os
import re
from contextlib import ExitStack
from pathlib import Path

from ...configuration.vla_errors import InputError
from ..families import OURS
from ..files.given_datasets import check_dataset_name, reading_dataset
from ..files.given_paths import input_paths
from ..files.json_file import json_text
from ..files.output_file import check_output_file, files_of, result_file
from ..files.output_guard import json_of
from ..option_values import count, whole_number
from ..predictions.flow_options import add_flow_arguments
from .command import Command
from .error_boundary import ending_at_interrupt
from .model_kinds import different, family_of, refuse_same, refuse_unused, tell_of_place
from .shared_arguments import DTYPES, add_fast_argument
from .stats import loading_bars

KINDS = different(family.evaluation for family in OURS.values())
TRAINING_SEED = 42  # that of transformers' TrainingArguments, by which episodes are held out


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="folder or Hub repository of a checkpoint")
    parser.add_argument(
        "--dataset", required=True, metavar="D", help="folder (LeRobot, save_to_disk, parquet) or Hub dataset"
    )
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of a dataset on the Hub")
    add_choice_of_samples(parser)
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="COLUMN",
        help="of the cameras, main camera first (default: the checkpoint's recorded views, else all but depth maps)",
    )
    parser.add_argument(
        "--state-column",
        "--state",
        dest="state",
        nargs="+",
        metavar="COLUMN",
        help="of the state, or of a car's pose (x y z qw qx qy qz: w first), joined where there are several (default: "
        "observation.state)",
    )
    parser.add_argument("--text", metavar="COLUMN", help="of the instruction (default: task; a car needs none)")
    parser.add_argument("--advantage", metavar="WORD", help="in all prompts, for a model that learnt such words")
    parser.add_argument("--batch-size", type=count, default=8, metavar="N", help="samples at once (default 8)")
    parser.add_argument("--num-workers", type=whole_number, default=0, metavar="N", help="processes that read images")
    add_flow_arguments(parser)
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of noise and text (default 0)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the weights (default: float32 on a CPU, else as stored)")
    parser.add_argument(
        "--device", help="such as cuda (default: cpu; under `accelerate launch` of several processes, each one's own)"
    )
    add_fast_argument(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT.json",
        help="where to write the figures; of files that exist only an earlier evaluation is replaced",
    )
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="a picture of predicted against recorded actions")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    for kind in KINDS:
        kind.add_arguments(parser)


def add_choice_of_samples(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--episodes",
        nargs="+",
        type=numbers,
        action="extend",
        metavar="I",
        help="numbers, such as 0 3 7-9 (default: all)",
    )
    which.add_argument(
        "--eval-episodes", type=float, metavar="SHARE", help="those that examples/finetune.py holds out for this share"
    )
    parser.add_argument(
        "--eval-seed",
        type=int,
        metavar="N",
        help=f"of --eval-episodes: the training's --seed (default {TRAINING_SEED})",
    )
    parser.add_argument(
        "--stride", type=int, default=1, metavar="N", help="predict at every so many frames of an episode (default 1)"
    )
    parser.add_argument("--max-samples", type=int, metavar="N", help="at most, spread evenly over the frames")


def numbers(text: str) -> range:
    """`7` or `7-9`."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    last = int(match[2] or match[1]) if match else 0
    if not match or last < int(match[1]):
        several = "; put spaces between several" if "," in text else ""
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a range such as 7-9{several}")
    return range(int(match[1]), last + 1)


def settled_seed(arguments: argparse.Namespace) -> int | None:
    """That of the training which held the episodes out; `None` where none were. Raises InputError for one without."""
    if arguments.eval_episodes is not None:
        return TRAINING_SEED if arguments.eval_seed is None else arguments.eval_seed
    if arguments.eval_seed is not None:
        raise InputError(
            f"--eval-seed {arguments.eval_seed} says which episodes --eval-episodes SHARE takes: give that, too, or "
            "leave it out; --seed is that of noise and text."
        )
    return None


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Print the figures, and write what is asked for.

    Raises:
        ConversionError: the checkpoint is of no family known here.
        InputError: dataset or options do not fit the model, or an output may not be written. Nothing was predicted.
        NonFiniteError: a prediction is not finite; nothing was written.
    """
    with ending_at_interrupt():
        from ..folders.folder_roles import check_ready
        from ..job import check_device
        from ..plots.picture_file import check_picture
        from ..source_folder import source_folder

    if arguments.episodes is not None:
        arguments.episodes = sorted({number for part in arguments.episodes for number in part})
    arguments.eval_seed = settled_seed(arguments)
    if arguments.device:
        check_device(arguments.device)
    if arguments.plot:
        check_picture(arguments.plot)
    is_ours = {"output": is_evaluation, "plot": is_picture}
    outputs = {name: path for name in is_ours if (path := getattr(arguments, name))}
    given = input_paths(arguments)
    for name, path in outputs.items():  # before a download
        check_output_file(path, is_ours[name], files_of(given))
    refuse_same(outputs)
    check_dataset_name(arguments.dataset)
    folder = source_folder(arguments.checkpoint)
    check_ready(folder)
    family = family_of(folder)
    refuse_unused(arguments, family.name, family.evaluation, KINDS)
    first = int(os.environ.get("RANK", 0)) == 0  # of the processes that `accelerate launch` started
    tell_of_place(outputs.values(), folder, arguments.quiet or not first)
    inputs = files_of([folder, *given])
    with ExitStack() as stack:
        stack.enter_context(loading_bars(first and not arguments.quiet))
        files = {}
        for name, path in outputs.items() if first else ():
            files[name] = stack.enter_context(result_file(path, is_ours[name], inputs))
        with reading_dataset(arguments.dataset):
            result = family.evaluation.predict(folder, arguments, files)
        if output := files.get("output"):
            output.write_text(json_text(result, output.name, indent=1), encoding="utf-8")


def is_evaluation(path: Path) -> bool:
    """Whether a file holds what this command writes."""
    content = json_of(path)
    return content is not None and any(kind.wrote(content) for kind in KINDS)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture that this command drew."""
    from ..plots.picture_file import is_marked
    from ..predictions.action_plot import MARK

    return is_marked(path, MARK)


EVALUATE = Command(
    summary="measure predictions against recorded episodes (open loop)",
    text="Predict what was recorded, and print errors: of a robot's actions by dimension and step, with the switches "
    "of its gripper; of a car's trajectories minADE and minFDE. Required are CKPT and --dataset. Several devices: "
    "`accelerate launch -m vlahub evaluate ...`.",
    example="evaluate my-vla --dataset path/to/lerobot --episodes 0-9 --output figures.json --plot actions.png",
    add_arguments=add_evaluate_arguments,
    run=run_evaluate,
)
