"""`vlahub assemble`."""

import argparse
from pathlib import Path

from ..mapanything_llava3d.llava3d_options import add_assembly_arguments
from .command import Command
from .command_choices import ASSEMBLIES, NORMALIZATIONS
from .conversion_run import carry_out
from .error_boundary import ending_at_interrupt
from .shared_arguments import add_output_arguments


def add_assemble_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--family", choices=ASSEMBLIES, required=True, help="what to build")
    add_assembly_arguments(parser)
    parser.add_argument("--normalization", choices=NORMALIZATIONS, help="of actions and state")
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    parser.set_defaults(adapter=[], base=None, device="cpu", center_crop=None)
    add_output_arguments(parser)


def run_assembly(arguments: argparse.Namespace) -> None:
    with ending_at_interrupt():
        from ..families import assemble
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
