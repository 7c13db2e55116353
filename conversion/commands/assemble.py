"""`vlahub assemble`."""

import argparse
from pathlib import Path

from ..families import FAMILIES
from .command import Command
from .conversion_run import carry_out
from .error_boundary import ending_at_interrupt
from .shared_arguments import add_arguments_of_families, add_output_arguments


def add_assemble_arguments(parser: argparse.ArgumentParser) -> None:
    names = [family.name for family in FAMILIES.values() if family.assemble]
    parser.add_argument("--family", choices=names, required=True, help="what to build")
    add_arguments_of_families(parser, "assemble")
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    parser.set_defaults(adapter=[], base=None, device="cpu")
    add_output_arguments(parser)


def run_assembly(arguments: argparse.Namespace) -> None:
    with ending_at_interrupt():
        from ..preparation import assemble
    carry_out(arguments, assemble)


ASSEMBLE = Command(
    summary="build a checkpoint from published parts",
    text="Build a new LLaVA-3D model with an action expert from published parts, as a start for training. Required are "
    "--family, --vision, --language, --output, one of --geometry and --no-geometry, and, with an action expert, "
    "--action-horizon and the size of the actions (--action-dim or --statistics).",
    example="assemble --family mapanything_llava3d --vision google/siglip-so400m-patch14-384 --language "
    "path/to/llava3d --no-geometry --statistics dataset_statistics.json --action-horizon 8 --output my-vla",
    add_arguments=add_assemble_arguments,
    run=run_assembly,
)
