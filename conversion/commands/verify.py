"""`vlahub verify`."""

import argparse
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from ..files.given_paths import meant_folder, why_not_local
from .command import Command
from .error_boundary import ending_at_interrupt
from .shared_arguments import add_device_argument


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
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run_verify(arguments: argparse.Namespace) -> None:
    with ending_at_interrupt():
        from ..job import check_device
        from ..source_folder import source_folder
        from ..verify_folder import accept_changes, verify_folder

    check_device(arguments.device)
    refuse_useless(arguments)
    if arguments.accept:
        result = accept_changes(local_folder(arguments.checkpoint), arguments.quiet)
    else:
        folder = source_folder(arguments.checkpoint, everything=True)
        recomputed = [compared_with_sources(folder, arguments)] if arguments.against else []
        result = "; ".join([*recomputed, verify_folder(folder, arguments.quiet, arguments.code)])
    if not arguments.quiet:
        print(f"{arguments.checkpoint}: {result}")


def refuse_useless(arguments: argparse.Namespace) -> None:
    """Refuse options that would change nothing.

    Raises:
        ConversionError: the message names them.
    """
    if arguments.accept and (arguments.against or arguments.base or arguments.code):
        raise ConversionError("--accept records the files as they are; run it without --against, --base and --code.")
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


def compared_with_sources(folder: Path, arguments: argparse.Namespace) -> str:
    """Compare every tensor with what comes of the sources; returns what was found."""
    with ending_at_interrupt():
        from ..job import Job
        from ..preparation import verify_sources
        from ..source_folder import source_folder

    job = Job(
        adapters=[source_folder(name) for name in arguments.against],
        base=source_folder(arguments.base) if arguments.base else None,
        output=folder,
        allow_code=True,  # nothing is written
        device=arguments.device,
    )
    return verify_sources(folder, job, arguments.quiet)


VERIFY = Command(
    summary="check a checkpoint, alone or against its sources",
    text="Check that a checkpoint is whole, readable and finite, and that its files are those its report lists; with "
    "--against, recompute every tensor from the run that it was made of. Required is CKPT.",
    example="verify my-vla --against path/to/run --base openvla/openvla-7b",
    add_arguments=add_verify_arguments,
    run=run_verify,
)
