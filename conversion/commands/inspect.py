"""`vlahub inspect`: what a checkpoint, a training run or a published model holds, without loading weights."""

import argparse
import sys

from ..files.json_file import json_text
from .command import Command
from .error_boundary import ending_at_interrupt


def add_inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CKPT", help="folder, or Hub repository, of which headers and small files are read"
    )
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit of a repository")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors, and the document of --json")


def run_inspect(arguments: argparse.Namespace) -> None:
    """Print what is found; what is missing or odd is listed, and no failure."""
    with ending_at_interrupt():
        from ..inspection.inspect_checkpoint import inspect_checkpoint
        from ..inspection.text import BLOCKS, PLAIN_BAR, text_of
        from ..terminal import terminal_width

    inspection = inspect_checkpoint(arguments.checkpoint, revision=arguments.revision)
    if arguments.json:
        print(json_text(inspection.as_dict(), "the inspection", indent=1), end="")
    elif not arguments.quiet:
        print(text_of(inspection, BLOCKS if shows_blocks() else PLAIN_BAR, terminal_width()))


def shows_blocks() -> bool:
    """Whether stdout is a terminal that knows the characters."""
    return sys.stdout.isatty() and "utf" in (sys.stdout.encoding or "").lower()


INSPECT = Command(
    summary="tell what a checkpoint, a run or a published model holds, without its weights",
    text="Tell what a folder or a Hub repository holds, from its JSON files and the headers of its weights: family, "
    "parts, heads, views, statistics, provenance, memory, what is missing or odd, and the command that takes it next. "
    "Required is CKPT: a checkpoint, a training run, an adapter, or a published model that is not converted yet.",
    example="inspect openvla/openvla-7b --json",
    add_arguments=add_inspect_arguments,
    run=run_inspect,
)
