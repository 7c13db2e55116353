"""The command line: `vlahub COMMAND`, and `merge-lora` by itself.

Exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 interrupted.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..configuration.vla_errors import ConversionError
from .commands.command_choices import DTYPES
from .commands.command_help import HELP, settings
from .commands.error_boundary import ending_at_interrupt, run
from .commands.publish_arguments import add_card_argument, add_push_arguments
from .families import FAMILIES
from .files.given_paths import check_not_empty, input_paths
from .files.output_guard import check_output
from .shared_options import add_statistics_argument

if TYPE_CHECKING:  # at run time in the functions that need them: importing torch takes seconds
    from .job import Job, Prepared

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def main(argv: Sequence[str] | None = None) -> int:
    """`vlahub`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with ending_at_interrupt():
        arguments = make_parser(argv).parse_args(argv)
    return run(lambda arguments: started(arguments, argv), arguments)


def merge_lora_main(argv: Sequence[str] | None = None) -> int:
    """`merge-lora`, the same as `vlahub merge-lora`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="merge-lora", **settings("merge-lora", program=""))
    add_version(parser)
    complete(parser, add_merge_arguments, load_conversion)
    return run(lambda arguments: started(arguments, argv), parser.parse_args(argv))


def make_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of `vlahub`; of all commands only the one in `argv` gets its arguments, as some import much."""
    parser = argparse.ArgumentParser(
        prog="vlahub",
        description="Turn trained vision-language-action models into Hugging Face Hub checkpoints.",
        epilog="`vlahub COMMAND --help` says what a command needs, with an example.",
        allow_abbrev=False,
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (add_arguments, load_action) in COMMANDS.items():
        command = commands.add_parser(name, help=HELP[name].summary, **settings(name))
        if name == chosen:
            complete(command, add_arguments, load_action)
    return parser


def complete(parser: argparse.ArgumentParser, add_arguments: Callable, load_action: Callable) -> None:
    add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(load_action=load_action)


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"vlahub {version('vlahub')}")


def started(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    """Import what a command needs, and carry it out."""
    check_not_empty(argv)
    with ending_at_interrupt():
        action = arguments.load_action()
    action(arguments)


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
    add_common_arguments(parser)
    add_arguments_of_families(parser, "merge-lora")
    add_statistics_argument(parser)


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", nargs=1, metavar="SOURCE", help="merged checkpoint: folder or Hub repository")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder to write")
    parser.set_defaults(base=None)
    add_family_argument(parser)
    add_common_arguments(parser)
    add_arguments_of_families(parser, "convert")


def add_assemble_arguments(parser: argparse.ArgumentParser) -> None:
    names = [family.name for family in FAMILIES.values() if family.assemble]
    parser.add_argument("--family", choices=names, required=True, help="what to build")
    add_arguments_of_families(parser, "assemble")
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    parser.set_defaults(adapter=[], base=None, device="cpu")
    add_output_arguments(parser)


def add_family_argument(parser: argparse.ArgumentParser) -> None:
    names = [family.name for family in FAMILIES.values() if family.prepare]
    parser.add_argument(
        "--family", choices=["auto", *names], default="auto", help="auto: by the model type; generic: any model"
    )


def add_arguments_of_families(parser: argparse.ArgumentParser, command: str) -> None:
    for family in FAMILIES.values():
        if command in family.arguments:
            family.arguments[command](parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="of the output; auto: the base's")
    parser.add_argument(
        "--max-shard-size", type=byte_size, default="2GB", metavar="SIZE", help="largest output file, such as 2GB"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and write nothing")
    parser.add_argument("--no-verify", action="store_true", help="do not read back what was written")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder if it is not empty")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--push-to-hub", metavar="USER/NAME", help="publish the result in this repository")
    add_card_argument(parser)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    add_output_arguments(parser)
    parser.add_argument("--device", default="cpu", help="where the arithmetic is done, such as cuda")


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
    parser.add_argument("--device", default="cpu", help="where the arithmetic is done, such as cuda")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    from .commands.predict_arguments import add_predict_arguments

    add_predict_arguments(parser)


def add_stats_arguments(parser: argparse.ArgumentParser) -> None:
    from .commands.stats_command import add_stats_arguments

    add_stats_arguments(parser)


def load_conversion() -> Callable[[argparse.Namespace], None]:
    from .preparation import prepare

    return lambda arguments: finish(arguments, prepare)


def load_assembly() -> Callable[[argparse.Namespace], None]:
    from .preparation import assemble

    return lambda arguments: finish(arguments, assemble)


def load_verify() -> Callable[[argparse.Namespace], None]:
    from . import preparation  # noqa: F401 - imported here, where an interrupt ends the process at once

    return run_verify


def load_predict() -> Callable[[argparse.Namespace], None]:
    from .commands.predict import run_predict

    return run_predict


def load_stats() -> Callable[[argparse.Namespace], None]:
    from .commands.stats_command import run_stats

    return run_stats


def load_push() -> Callable[[argparse.Namespace], None]:
    from .commands.publish import run_push

    return run_push


def finish(arguments: argparse.Namespace, prepare_job: "Callable[[Job, str], Prepared]") -> None:
    """Carry out what was asked for, and publish it where that was asked for, too."""
    from .commands.publish import push_checkpoint
    from .job import run_job, say

    check_output(arguments.output, arguments.overwrite, input_paths(arguments), arguments.dry_run)  # before downloads
    job = job_of(arguments)
    run_job(job, lambda job: prepare_job(job, arguments.family))
    if arguments.push_to_hub and not job.dry_run:
        options = {"card": arguments.card, "allow_code": job.allow_code, "quiet": job.quiet}
        say(job, push_checkpoint(job.output, arguments.push_to_hub, **options))


def run_verify(arguments: argparse.Namespace) -> None:
    from .job import Job, check_device
    from .preparation import verify_sources
    from .source_folder import source_folder
    from .verify_folder import accept_changes, verify_folder

    check_device(arguments.device)
    refuse_unused_of_verify(arguments)
    folder = Path(arguments.checkpoint) if arguments.accept else source_folder(arguments.checkpoint, everything=True)
    if arguments.accept:
        result = accept_changes(folder, arguments.quiet)
    elif arguments.against:
        job = Job(
            adapters=[source_folder(name) for name in arguments.against],
            base=source_folder(arguments.base) if arguments.base else None,
            output=folder,
            allow_code=True,  # nothing is written
            device=arguments.device,
        )
        recomputed = verify_sources(folder, job, arguments.quiet)
        result = f"{recomputed}; {verify_folder(folder, arguments.quiet, arguments.code)}"
    else:
        result = verify_folder(folder, arguments.quiet, arguments.code)
    if not arguments.quiet:
        print(f"{arguments.checkpoint}: {result}")


def refuse_unused_of_verify(arguments: argparse.Namespace) -> None:
    """Refuse options that would change nothing.

    Raises:
        ConversionError: the message names them.
    """
    if arguments.accept and (arguments.against or arguments.base or arguments.code):
        raise ConversionError("--accept records the files as they are; run it without --against, --base and --code.")
    if arguments.base and not arguments.against:
        raise ConversionError("--base is the model that a run was merged into: name the run with --against RUN.")


def job_of(arguments: argparse.Namespace) -> "Job":
    from .job import Job
    from .source_folder import source_folder

    runs = {f"run {i}" if i > 1 else "run": name for i, name in enumerate(arguments.adapter, start=1)}
    with_weights = {role: weights for family in FAMILIES.values() for role, weights in family.parts.items()}
    parts = {role: name for role in with_weights if (name := getattr(arguments, role, None))}
    names = runs | ({"base": arguments.base} if arguments.base else {}) | parts
    return Job(
        adapters=[source_folder(name) for name in arguments.adapter],
        base=source_folder(arguments.base) if arguments.base else None,
        output=arguments.output,
        parts={role: source_folder(name, weights=with_weights[role]) for role, name in parts.items()},
        given=given_options(arguments),
        dtype=arguments.dtype,
        device=arguments.device,
        max_shard_bytes=arguments.max_shard_size,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
        verify=not arguments.no_verify,
        allow_code=getattr(arguments, "allow_code", False),
        quiet=arguments.quiet,
        inputs={role: input_name(name) for role, name in names.items()},
    )


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of all families that the caller gave."""
    kinds = [family.options for family in FAMILIES.values() if family.options]
    names = {option.name for kind in kinds for option in fields(kind)}
    return {name: value for name in sorted(names) if (value := getattr(arguments, name, None)) is not None}


def input_name(name: str) -> str:
    """A repository's id, or a folder's own name without where it lies."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def byte_size(text: str) -> int:
    """`2GB` -> 2000000000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?B?)", text.upper())
    unit = match and match[2] + ("" if not match[2] or match[2].endswith("B") else "B")
    if not match or float(match[1]) <= 0 or unit not in (*UNITS, "B"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 2GB")
    return int(float(match[1]) * UNITS.get(unit, 1))


COMMANDS = {
    "merge-lora": (add_merge_arguments, load_conversion),
    "convert": (add_convert_arguments, load_conversion),
    "assemble": (add_assemble_arguments, load_assembly),
    "verify": (add_verify_arguments, load_verify),
    "predict": (add_predict_arguments, load_predict),
    "stats": (add_stats_arguments, load_stats),
    "push": (add_push_arguments, load_push),
}

if __name__ == "__main__":
    sys.exit(main())
