"""`vlahub convert`."""

import argparse
from pathlib import Path

from .command import Command
from .conversion_run import run_conversion
from .shared_arguments import (
    add_arguments_of_families,
    add_device_argument,
    add_family_argument,
    add_output_arguments,
    add_quantize_argument,
    add_try_argument,
)


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", nargs=1, metavar="SOURCE", help="merged checkpoint: folder or Hub repository")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder to write")
    parser.set_defaults(base=None)
    add_family_argument(parser)
    add_output_arguments(parser)
    add_try_argument(parser)
    add_quantize_argument(parser)
    add_device_argument(parser)
    add_arguments_of_families(parser, "convert")


CONVERT = Command(
    summary="convert an already merged published checkpoint",
    text="Turn a published checkpoint, whose weights are merged already, into one that loads with one line, or "
    "(--quantize) one of vlahub's into one of lower precision. Required are SOURCE and OUTPUT; the groups of options "
    "below say what the checkpoints of one family do not record.",
    example="convert path/to/published my-vla --vlm Qwen/Qwen3-VL-8B-Instruct",
    add_arguments=add_convert_arguments,
    run=run_conversion,
)
