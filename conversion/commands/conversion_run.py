"""What the commands that write a checkpoint have in common: arguments become a job, which is carried out."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..alpamayo_r1.alpamayo_options import VLM
from ..files.given_paths import input_paths
from ..files.output_guard import check_output
from .error_boundary import ending_at_interrupt

if TYPE_CHECKING:  # at run time in the functions that need them: importing torch takes seconds
    from ..job import Job, Prepared
    from ..mapanything_llava3d.llava3d_options import Llava3DOptions


def run_conversion(arguments: argparse.Namespace) -> None:
    """`merge-lora` and `convert`."""
    with ending_at_interrupt():
        from ..families import prepare
    carry_out(arguments, prepare)


def carry_out(arguments: argparse.Namespace, prepare_job: "Callable[[Job, str], Prepared]") -> None:
    """Do what was asked for, and publish it where that was asked for, too."""
    with ending_at_interrupt():
        from ..job import run_job, say
        from ..publish import push_checkpoint
    check_output(arguments.output, arguments.overwrite, input_paths(arguments), arguments.dry_run)  # before downloads
    job = job_of(arguments)
    run_job(job, lambda job: prepare_job(job, arguments.family))
    if arguments.push_to_hub and not job.dry_run:
        options = {"card": arguments.card, "allow_code": job.allow_code, "quiet": job.quiet}
        say(job, push_checkpoint(job.output, arguments.push_to_hub, **options))


def job_of(arguments: argparse.Namespace) -> "Job":
    from ..cogvla.openvla_settings import Options
    from ..job import Job
    from ..mapanything_llava3d.llava3d_options import ROLES
    from ..source_folder import source_folder

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
    from ..mapanything_llava3d.llava3d_options import Llava3DOptions

    found = {name: getattr(arguments, name, None) for name in Llava3DOptions.__dataclass_fields__}
    found["action_horizon"] = found["action_horizon"] or getattr(arguments, "num_action_chunks", None)
    return Llava3DOptions(**{name: value for name, value in found.items() if value is not None})


def input_name(name: str) -> str:
    """A repository's id, or a folder's own name without where it lies."""
    return Path(name).resolve().name if Path(name).is_dir() else name
