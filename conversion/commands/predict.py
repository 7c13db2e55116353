"""`vlahub predict`: images and what belongs to them in, actions or trajectories out, as a table and as JSON."""

import argparse
import io
from contextlib import ExitStack, nullcontext, redirect_stdout
from pathlib import Path

from ...configuration.vla_errors import InputError
from ..families import OURS
from ..files.file_kinds import CARD_NAME
from ..files.given_paths import input_paths
from ..files.json_file import json_text
from ..files.output_file import check_output_file, files_of, result_file
from ..files.output_guard import json_of
from ..option_values import seed
from ..predictions.flow_options import add_flow_arguments
from .command import Command
from .error_boundary import ending_at_interrupt
from .model_kinds import different, family_of, refuse_same, refuse_unused, tell_of_place
from .shared_arguments import add_fast_argument

KINDS = different(family.prediction for family in OURS.values())


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="folder or Hub repository of a checkpoint")
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="files, in order, or one folder, whose files have the names of the views or are in order by name, or "
        "NAME=FILE for each view; a driving model reads a folder's subfolders as cameras, files as frames",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT.json",
        help="where to write the prediction; of files that exist only an earlier prediction is replaced",
    )
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="OUT.png",
        help="a picture of what the model saw, where it looked and what it predicts (pip install 'vlahub[plot]'); see "
        "docs/pictures.md",
    )
    add_fast_argument(parser)
    add_flow_arguments(parser)
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of text and noise (default 0)")
    parser.add_argument(
        "--quiet", action="store_true", help="print no table: the JSON alone, and with --output nothing but errors"
    )
    for kind in KINDS:
        kind.add_arguments(parser)


def run_predict(arguments: argparse.Namespace) -> None:
    """Print the prediction, and write what is asked for.

    Raises:
        ConversionError: the checkpoint is of no family known here, or a scene cannot be read.
        InputError: images, history or options do not fit the model, or an output may not be written.
    """
    with ending_at_interrupt():
        import torch

        from ..folders.folder_roles import check_ready
        from ..job import check_device
        from ..plots.picture_file import check_picture
        from ..source_folder import source_folder

    check_device(arguments.device)
    given = input_paths(arguments)
    is_ours = {"output": is_prediction, "plot": is_picture}
    outputs = {name: path for name in is_ours if (path := getattr(arguments, name))}
    for name, path in outputs.items():  # before a download
        check_output_file(path, is_ours[name], files_of(given))
    if arguments.plot:
        check_picture(arguments.plot)
    refuse_same(outputs)
    folder = source_folder(arguments.checkpoint)
    check_ready(folder)
    family = family_of(folder)
    refuse_unused(arguments, family.name, family.prediction, KINDS)
    tell_of_place(outputs.values(), folder, arguments.quiet)
    inputs = files_of([folder, *given])
    with ExitStack() as stack:
        files = {name: stack.enter_context(result_file(path, is_ours[name], inputs)) for name, path in outputs.items()}
        torch.manual_seed(arguments.seed)
        with redirect_stdout(io.StringIO()) if arguments.quiet else nullcontext():
            result = family.prediction.predict(folder, arguments, files)
        if output := files.get("output"):
            output.write_text(json_text(result, output.name, indent=1), encoding="utf-8")
        elif arguments.quiet:
            print(json_text(result, "the prediction"))


def is_prediction(path: Path) -> bool:
    """Whether a file holds what this command writes."""
    content = json_of(path)
    return content is not None and any(kind.wrote(content) for kind in KINDS)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture that this command drew. Raises InputError for that of a checkpoint's card."""
    from ..plots.picture_file import PREDICTION_MARK, is_marked

    card = path.with_name(CARD_NAME)
    if card.is_file() and f"]({path.name})" in card.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"{path} is the picture that {card} shows, and vlahub card renews it; name another file.")
    return is_marked(path, PREDICTION_MARK)


PREDICT = Command(
    summary="predict with a checkpoint",
    text="Predict actions, or a trajectory, with a checkpoint that vlahub wrote. Required are CKPT and, for a robot, "
    "--images and --instruction, or, for a driving model, --history. An option that the model has no use for is "
    "refused.",
    example='predict my-vla --images view_0.png view_1.png --instruction "pick up the bowl" --plot out.png',
    add_arguments=add_predict_arguments,
    run=run_predict,
)
