"""`vlahub create`, and `vlahub assemble`, which is `create` of one family from several parts."""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ..families import FAMILIES
from .command import Command
from .conversion_run import carry_out
from .error_boundary import ending_at_interrupt
from .shared_arguments import add_arguments_of_families, add_output_arguments

FAMILY = "--family"


def add_create_arguments(parser: argparse.ArgumentParser) -> None:
    names = [family.name for family in FAMILIES.values() if "create" in family.arguments]
    parser.add_argument(
        FAMILY, choices=names, required=True, help="what to make; its options: vlahub create --family NAME --help"
    )
    add_arguments_of_a_start(parser)


def add_options_of_family(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Those of the family that a command line names: families have options of one name with several meanings."""
    named = [after for before, after in pairwise(argv) if before == FAMILY]
    named += [word.partition("=")[2] for word in argv if word.startswith(f"{FAMILY}=")]
    for name in named[-1:]:
        if name in FAMILIES and "create" in FAMILIES[name].arguments:
            FAMILIES[name].arguments["create"](parser)


def families_with(command: str, option: str) -> list[str]:
    """The families of which a command that knows them by name would take an option."""
    found = []
    for family in FAMILIES.values():
        parser = argparse.ArgumentParser(add_help=False)
        family.arguments.get(command, lambda parser: None)(parser)
        found += [family.name] if option in parser._option_string_actions else []
    return found


def add_assemble_arguments(parser: argparse.ArgumentParser) -> None:
    names = [family.name for family in FAMILIES.values() if "assemble" in family.arguments]
    parser.add_argument(FAMILY, choices=names, required=True, help="what to build")
    add_arguments_of_families(parser, "assemble")
    add_arguments_of_a_start(parser)


def add_arguments_of_a_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    parser.set_defaults(adapter=[], base=None, device="cpu")
    add_output_arguments(parser)


def run_creation(arguments: argparse.Namespace) -> None:
    with ending_at_interrupt():
        from ..preparation import create
    carry_out(arguments, create)


CREATE = Command(
    summary="make the start of a new model from a base model or from published parts",
    text="Make a checkpoint to train from: a base model with parts that it does not have yet, or several models "
    "joined. What the sources have is carried over number by number; what is new is drawn from --seed, and plan, "
    "report and model card list it. Required are --family, --output, and what the family starts from; vlahub create "
    "--family NAME --help lists the options of a family.",
    example="create --family cogvla --base openvla/openvla-7b --film --action-head l1 --num-images 2 --state-dim 8 "
    "--statistics dataset_statistics.json --output my-start",
    add_arguments=add_create_arguments,
    add_further=add_options_of_family,
    run=run_creation,
)
ASSEMBLE = Command(
    summary="build a checkpoint from published parts",
    text="Build a new LLaVA-3D model with an action expert from published parts, as a start for training. Required are "
    "--family, --vision, --language, --output, one of --geometry and --no-geometry, and, with an action expert, "
    "--action-horizon and the size of the actions (--action-dim or --statistics). The same as vlahub create.",
    example="assemble --family mapanything_llava3d --vision google/siglip-so400m-patch14-384 --language "
    "path/to/llava3d --no-geometry --statistics dataset_statistics.json --action-horizon 8 --output my-vla",
    add_arguments=add_assemble_arguments,
    run=run_creation,
)
