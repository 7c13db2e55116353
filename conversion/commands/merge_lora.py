"""`vlahub merge-lora`, which is `merge-lora`, too."""

import argparse
from pathlib import Path

from ..shared_options import add_statistics_argument
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


def add_merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", help="base model: folder or Hub repository; not needed for a run that is merged")
    parser.add_argument(
        "--adapter",
        required=True,
        action="append",
        metavar="RUN",
        help="training run, or plain PEFT adapter: folder or Hub repository; repeat to merge several in order",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--allow-code", action="store_true", help="take over Python files of the base that are not ours"
    )
    add_family_argument(parser)
    add_output_arguments(parser)
    add_try_argument(parser)
    add_quantize_argument(parser)
    add_device_argument(parser)
    add_arguments_of_families(parser, "merge-lora")
    add_statistics_argument(parser)


MERGE_LORA = Command(
    summary="merge a training run (LoRA adapter and side files) into one checkpoint",
    text="Merge a training run, which is a LoRA adapter with the side files of its training, or a plain PEFT adapter, "
    "into one checkpoint that loads with one line. Required are --adapter RUN and --output OUT, and --base BASE "
    "unless the run is merged already. What no file of the run records has to be said, too; the error names the "
    "option.",
    example="merge-lora --base openvla/openvla-7b --adapter path/to/run --output my-vla --num-images 2 "
    "--platform libero",
    add_arguments=add_merge_arguments,
    run=run_conversion,
)
