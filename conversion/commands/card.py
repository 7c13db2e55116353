"""`vlahub card`: the README.md of a checkpoint, with an example that was carried out."""

import argparse
from pathlib import Path

from ..predictions.prediction import state_value
from .command import Command
from .error_boundary import ending_at_interrupt


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="checkpoint folder; its README.md is written")
    parser.add_argument(
        "--images",
        "--image",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="what the example is asked about: files, one folder, or NAME=FILE for each view, as vlahub predict reads "
        "them; the picture shows them (default: the example draws its own, so that it prints the same wherever it "
        "runs)",
    )
    parser.add_argument(
        "--keep-images",
        action="store_true",
        help="put the images into the checkpoint, as PNG without what cameras note in a file; else the card names them",
    )
    parser.add_argument("--text", "--instruction", metavar="TEXT", help="the instruction of the example")
    parser.add_argument("--state", type=state_value, nargs="+", metavar="X", help="of the robot; zeros by default")
    parser.add_argument("--unnorm-key", metavar="KEY", help="whose statistics to use (default: the first by name)")
    parser.add_argument("--no-run", action="store_true", help="do not run the example; the card shows its code alone")
    parser.add_argument(
        "--picture",
        action=argparse.BooleanOptionalAction,
        help="draw the prediction (default: where matplotlib is installed, pip install 'vlahub[plot]')",
    )
    parser.add_argument(
        "--allow-code", action="store_true", help="run Python files of the checkpoint that are not vlahub's, too"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run_card(arguments: argparse.Namespace) -> None:
    """Write the card, and say so."""
    with ending_at_interrupt():
        from ..cards.executed_card import CardRequest, write_executed_card

    request = CardRequest(
        images=arguments.images,
        text=arguments.text,
        state=arguments.state,
        unnorm_key=arguments.unnorm_key,
        run=not arguments.no_run,
        picture=arguments.picture,
        keep_images=arguments.keep_images,
        allow_code=arguments.allow_code,
    )
    done = write_executed_card(arguments.checkpoint, request)
    if not arguments.quiet:
        print(done)


CARD = Command(
    summary="write a checkpoint's README.md, with an example that was run",
    text="Write the README.md of a checkpoint folder: its example runs in a process of its own, without vlahub, as "
    "whoever loads the checkpoint runs it, and what it prints stands below it, with a picture of the prediction. "
    "Required is CKPT. What somebody wrote in the card stays; an example that fails leaves the card as it was.",
    example="card my-vla --images view_0.png view_1.png --text pick",
    add_arguments=add_card_arguments,
    run=run_card,
)
