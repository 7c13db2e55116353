"""`vlahub verify`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...configuration.vla_errors import ConversionError
from ..files.given_paths import meant_folder, why_not_local
from ..files.json_file import json_text
from ..table_lines import Column, Table
from ..terminal import show
from .command import Command
from .error_boundary import ending_at_interrupt
from .shared_arguments import add_device_argument

if TYPE_CHECKING:
    from ..verify_folder import Checked

COLUMNS = (
    Column("checked"),
    Column("number", right=True, before="  "),
    Column("bytes", right=True, before="  "),
    Column("against", before="  ", folds=True),
    Column("found", before="  ", folds=True),
)


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="checkpoint: folder or Hub repository")
    parser.add_argument(
        "--against", action="append", metavar="RUN", help="recompute everything from this run (repeat as for merging)"
    )
    parser.add_argument("--base", help="base model that the run was merged into")
    parser.add_argument("--code", action="store_true", help="also compare its Python files with those of this release")
    parser.add_argument(
        "--accept",
        action="store_true",
        help="record the files as they are now, after a change on purpose (an edited card, a fine-tune saved over it)",
    )
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="print what was checked as one JSON document")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors, and the document of --json")


def run_verify(arguments: argparse.Namespace) -> None:
    with ending_at_interrupt():
        from ..job import check_device
        from ..source_folder import source_folder
        from ..verify_folder import accept_changes, verify_folder

    check_device(arguments.device)
    refuse_useless(arguments)
    if arguments.accept:
        result = accept_changes(local_folder(arguments.checkpoint), arguments.quiet)
        if not arguments.quiet:
            print(f"{arguments.checkpoint}: {result}")
        return
    folder = source_folder(arguments.checkpoint, everything=True)
    recomputed = [compared_with_sources(folder, arguments)] if arguments.against else []
    checked = [*recomputed, *verify_folder(folder, arguments.quiet or arguments.json, arguments.code)]
    if arguments.json:
        found = {"checkpoint": arguments.checkpoint, "checked": [asdict(each) for each in checked]}
        print(json_text(found, "what was checked", indent=1), end="")
    elif not arguments.quiet:
        show(table_of(arguments.checkpoint, checked))


def table_of(name: str, checked: "list[Checked]") -> Table:
    """A row for each thing that was checked."""
    rows = [(each.what, counted(each.count), counted(each.bytes), each.against, each.found) for each in checked]
    return Table(COLUMNS, rows, title=f"{name}: nothing wrong was found")


def counted(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def refuse_useless(arguments: argparse.Namespace) -> None:
    """Refuse options that would change nothing.

    Raises:
        ConversionError: the message names them.
    """
    if arguments.accept and (arguments.against or arguments.base or arguments.code or arguments.json):
        raise ConversionError(
            "--accept records the files as they are; run it without --against, --base, --code and --json."
        )
    if arguments.base and not arguments.against:
        raise ConversionError("--base is the model that a run was merged into: name the run with --against RUN.")


def local_folder(name: str) -> Path:
    """The folder that is written into. Raises ConversionError for anything else."""
    if Path(name).is_dir():
        return Path(name)
    reason = (
        why_not_local(name) or f"there is no such folder{meant_folder(Path(name))}; a repository is downloaded first."
    )
    raise ConversionError(f"--accept {name} records nothing: {reason}")


def compared_with_sources(folder: Path, arguments: argparse.Namespace) -> "Checked":
    """Compare every tensor with what comes of the sources."""
    with ending_at_interrupt():
        from ..bases_of_adapters import base_folder
        from ..job import Job
        from ..preparation import verify_sources
        from ..source_folder import source_folder
        from ..verify_folder import Checked

    adapters = [source_folder(name) for name in arguments.against]
    job = Job(
        adapters=adapters,
        base=base_folder(arguments.base, adapters),
        output=folder,
        allow_code=True,  # nothing is written
        device=arguments.device,
    )
    plan = verify_sources(folder, job, arguments.quiet or arguments.json)
    found = f"all {len(plan.tensors)} tensors equal their recomputation from the sources"
    against = ", ".join([*arguments.against, *([arguments.base] if arguments.base else [])])
    return Checked("tensors recomputed", len(plan.tensors), plan.bytes, against, found)


VERIFY = Command(
    summary="check a checkpoint, alone or against its sources",
    text="Check that a checkpoint is whole, readable and finite, and that its files are those its report lists; with "
    "--against, recompute every tensor from the run that it was made of. Required is CKPT.",
    example="verify my-vla --against path/to/run --base openvla/openvla-7b",
    add_arguments=add_verify_arguments,
    run=run_verify,
)
