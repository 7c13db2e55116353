"""The command line: `vlahub COMMAND`, and `merge-lora` by itself.

Exit codes: 0 done, 1 refused or failed (the reason is printed), 2 wrong usage, 130 interrupted.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ..configuration.configuration_cogvla import CHOICES
from ..configuration.vla_errors import VLAError
from .cogvla_checkpoint import DTYPES, Job, convert_cogvla
from .openvla_settings import PLATFORMS, Options
from .source_folder import source_folder

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def main(argv: Sequence[str] | None = None) -> int:
    """`vlahub`."""
    parser = argparse.ArgumentParser(
        prog="vlahub", description="Turn trained vision-language-action models into Hugging Face Hub checkpoints."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    merge = "merge a training run (LoRA adapter and side files) into one checkpoint"
    add_merge_arguments(commands.add_parser("merge-lora", help=merge, description=merge))
    convert = "convert an already merged published checkpoint"
    add_convert_arguments(commands.add_parser("convert", help=convert, description=convert))
    return run(parser.parse_args(argv))


def merge_lora_main(argv: Sequence[str] | None = None) -> int:
    """`merge-lora`, the same as `vlahub merge-lora`."""
    parser = argparse.ArgumentParser(
        prog="merge-lora", description="Merge a training run (LoRA adapter and side files) into one checkpoint."
    )
    add_merge_arguments(parser)
    return run(parser.parse_args(argv))


def add_merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", help="base model: folder or Hub repository; not needed for a run that is merged")
    parser.add_argument("--adapter", required=True, metavar="RUN", help="training run: folder or Hub repository")
    parser.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder to write")
    add_common_arguments(parser)


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", metavar="SOURCE", help="merged checkpoint: folder or Hub repository")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder to write")
    parser.set_defaults(base=None)
    add_common_arguments(parser)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto", help="of the output; auto: the base's")
    parser.add_argument(
        "--max-shard-size", type=byte_size, default="2GB", metavar="SIZE", help="largest output file, such as 2GB"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and write nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder if it is not empty")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    model = parser.add_argument_group("what no published file records")
    model.add_argument("--num-images", type=int, metavar="N", help="camera views of one sample")
    model.add_argument("--platform", choices=PLATFORMS, help="sets the next three")
    model.add_argument("--num-action-chunks", type=int, metavar="N", help="actions of one prediction")
    model.add_argument("--action-dim", type=int, metavar="N", help="numbers of one action")
    model.add_argument("--normalization", choices=CHOICES["normalization_type"], help="of actions and state")
    model.add_argument("--num-diffusion-steps", type=int, metavar="N", help="of a diffusion head (default 100)")
    model.add_argument(
        "--decoding",
        choices=["parallel", "autoregressive"],
        help="of discrete action tokens: OpenVLA-OFT (parallel) and OpenVLA (autoregressive) leave the same files",
    )
    model.add_argument("--center-crop", action="store_true", help="let the processor crop to 90 %% of the area")


def run(arguments: argparse.Namespace) -> int:
    try:
        convert_cogvla(job_of(arguments))
    except (VLAError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was left behind", file=sys.stderr)
        return 130
    return 0


def job_of(arguments: argparse.Namespace) -> Job:
    names = {"run": arguments.adapter, "base": arguments.base}
    return Job(
        run=source_folder(arguments.adapter),
        base=source_folder(arguments.base) if arguments.base else None,
        output=arguments.output,
        options=Options(**{name: getattr(arguments, name) for name in Options.__dataclass_fields__}),
        dtype=arguments.dtype,
        max_shard_bytes=arguments.max_shard_size,
        center_crop=arguments.center_crop,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
        quiet=arguments.quiet,
        inputs={role: input_name(name) for role, name in names.items() if name},
    )


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


if __name__ == "__main__":
    sys.exit(main())
