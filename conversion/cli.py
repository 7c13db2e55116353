"""The command line: `vlahub COMMAND`, and `merge-lora` by itself.

Exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 interrupted.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..configuration.vla_errors import ConversionError
from .alpamayo_r1.alpamayo_options import VLM, add_alpamayo_arguments
from .cogvla.openvla_options import add_statistics_argument, add_unrecorded_arguments
from .commands.command_choices import ASSEMBLIES, DTYPES, FAMILIES, NORMALIZATIONS, PLATFORMS
from .commands.command_help import HELP, settings
from .commands.error_boundary import ending_at_interrupt, run
from .commands.publish_arguments import add_card_argument, add_push_arguments
from .files.given_paths import check_not_empty, input_paths
from .files.output_guard import check_output

if TYPE_CHECKING:  # at run time in the functions that need them: importing torch takes seconds
    from .job import Job, Prepared
    from .mapanything_llava3d.llava3d_options import Llava3DOptions

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
    add_statistics_argument(parser)


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    from .mapanything_llava3d.llava3d_options import add_run_arguments

    parser.add_argument("adapter", nargs=1, metavar="SOURCE", help="merged checkpoint: folder or Hub repository")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder to write")
    parser.set_defaults(base=None)
    add_family_argument(parser)
    add_common_arguments(parser)
    add_run_arguments(parser)
    add_alpamayo_arguments(parser)


def add_assemble_arguments(parser: argparse.ArgumentParser) -> None:
    from .mapanything_llava3d.llava3d_options import add_assembly_arguments

    parser.add_argument("--family", choices=ASSEMBLIES, required=True, help="what to build")
    add_assembly_arguments(parser)
    parser.add_argument("--normalization", choices=NORMALIZATIONS, help="of actions and state")
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    parser.set_defaults(adapter=[], base=None, device="cpu", center_crop=None)
    add_output_arguments(parser)


def add_family_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--family", choices=["auto", *FAMILIES], default="auto", help="auto: by the model type; generic: any model"
    )


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
    model = parser.add_argument_group("what no published file records")
    model.add_argument("--num-images", type=int, metavar="N", help="camera views of one sample")
    model.add_argument("--platform", choices=PLATFORMS, help="sets the next three")
    model.add_argument(
        "--num-action-chunks", "--action-horizon", type=int, metavar="N", help="actions of one prediction"
    )
    model.add_argument("--action-dim", type=int, metavar="N", help="numbers of one action")
    model.add_argument("--normalization", choices=NORMALIZATIONS, help="of actions and state")
    add_unrecorded_arguments(model)
    model.add_argument(
        "--decoding",
        choices=["parallel", "autoregressive"],
        help="of discrete action tokens: OpenVLA-OFT (parallel) and OpenVLA (autoregressive) leave the same files",
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
    parser.add_argument("--device", default="cpu", help="where the arithmetic is done, such as cuda")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    from .commands.predict_arguments import add_predict_arguments

    add_predict_arguments(parser)


def add_stats_arguments(parser: argparse.ArgumentParser) -> None:
    from .commands.stats_command import add_stats_arguments

    add_stats_arguments(parser)


def load_conversion() -> Callable[[argparse.Namespace], None]:
    from .families import prepare

    return lambda arguments: finish(arguments, prepare)


def load_assembly() -> Callable[[argparse.Namespace], None]:
    from .families import assemble

    return lambda arguments: finish(arguments, assemble)


def load_verify() -> Callable[[argparse.Namespace], None]:
    from . import families  # noqa: F401 - imported here, where an interrupt ends the process at once

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
    from .families import verify_sources
    from .job import Job, check_device
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
    from .cogvla.openvla_settings import Options
    from .job import Job
    from .mapanything_llava3d.llava3d_options import ROLES
    from .source_folder import source_folder

    runs = {f"run {i}" if i > 1 else "run": name for i, name in enumerate(arguments.adapter, start=1)}
    parts = {role: name for role in (*ROLES, VLM) if (name := getattr(arguments, role, None))}
    names = runs | ({"base": arguments.base} if arguments.base else {}) | parts
    return Job(
        adapters=[source_folder(name) for name in arguments.adapter],
        base=source_folder(arguments.base) if arguments.base else None,
        output=arguments.output,
        parts={role: source_folder(name, weights=role != VLM) for role, name in parts.items()},
        options=Options(**{name: getattr(arguments, name, None) for name in Options.__dataclass_fields__}),
        llava3d=llava3d_options(arguments),
        dtype=arguments.dtype,
        device=arguments.device,
        max_shard_bytes=arguments.max_shard_size,
        center_crop=arguments.center_crop,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
        verify=not arguments.no_verify,
        allow_code=getattr(arguments, "allow_code", False),
        quiet=arguments.quiet,
        inputs={role: input_name(name) for role, name in names.items()},
    )


def llava3d_options(arguments: argparse.Namespace) -> "Llava3DOptions":
    """Those that the command has; `convert` knows the horizon under the name that OpenVLA-OFT has for it."""
    from .mapanything_llava3d.llava3d_options import Llava3DOptions

    found = {name: getattr(arguments, name, None) for name in Llava3DOptions.__dataclass_fields__}
    found["action_horizon"] = found["action_horizon"] or getattr(arguments, "num_action_chunks", None)
    return Llava3DOptions(**{name: value for name, value in found.items() if value is not None})


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
