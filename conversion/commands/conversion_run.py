"""What the commands that write a checkpoint have in common: arguments become a job, which is carried out."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...configuration.vla_errors import ConversionError, VLAError
from ..families import FAMILIES
from ..files.given_paths import input_paths
from ..files.output_guard import check_output, lies_inside
from .error_boundary import ending_at_interrupt

if TYPE_CHECKING:  # at run time in the functions that need them: importing torch takes seconds
    from ..job import Job, Prepared


def run_conversion(arguments: argparse.Namespace) -> None:
    """`merge-lora` and `convert`."""
    with ending_at_interrupt():
        from ..preparation import prepare
    carry_out(arguments, prepare)


def carry_out(arguments: argparse.Namespace, prepare_job: "Callable[[Job, str], Prepared]") -> None:
    """Do what was asked for, and publish it where that was asked for, too."""
    with ending_at_interrupt():
        from ..job import run_job, say
        from ..publishing.push_checkpoint import check_repository_id, push_checkpoint
    if arguments.push_to_hub:
        check_repository_id(arguments.push_to_hub)
    check_output(arguments.output, arguments.overwrite, input_paths(arguments), arguments.dry_run)  # before downloads
    job = job_of(arguments)
    if note := lies_inside(job.output, [*job.adapters, *([job.base] if job.base else []), *job.parts.values()]):
        say(job, f"note: {note}")
    tries = getattr(arguments, "run_example", False)
    run_job(job, lambda job: checked(prepare_job(job, arguments.family), tries))
    if tries and not job.dry_run:
        complete_card(job)
    if arguments.push_to_hub and not job.dry_run:
        options = {"card": arguments.card, "allow_code": job.allow_code, "quiet": job.quiet}
        say(job, push_checkpoint(job.output, arguments.push_to_hub, **options))


def checked(prepared: "Prepared", tries: bool) -> "Prepared":
    """Raises ConversionError where the card will have no example that could be tried, before anything is written."""
    if tries and prepared.config is None and not prepared.code.texts:
        raise ConversionError(
            "--try runs the example of the card, and only the cards of vlahub's families have one; leave it out."
        )
    return prepared


def complete_card(job: "Job") -> None:
    """Run the example of the card that was written, once the conversion has given back its memory.

    Raises:
        ConversionError: it fails; the checkpoint is there all the same.
    """
    from ..cards.executed_card import CardRequest, write_executed_card
    from ..job import say

    try:
        done = write_executed_card(job.output, CardRequest(allow_code=job.allow_code))
    except VLAError as error:
        raise ConversionError(
            f"{job.output} was written, and what --try adds was not: {error} To try again: vlahub card {job.output}"
        ) from error
    say(job, done)


def job_of(arguments: argparse.Namespace) -> "Job":
    """What the arguments ask for; repositories of the Hub are downloaded here."""
    from ..bases_of_adapters import base_folder
    from ..job import Job
    from ..source_folder import source_folder
    from .told_command import told_command

    runs = {f"run {i}" if i > 1 else "run": name for i, name in enumerate(arguments.adapter, start=1)}
    with_weights = {role: weights for family in FAMILIES.values() for role, weights in family.parts.items()}
    parts = {role: name for role in with_weights if (name := getattr(arguments, role, None))}
    names = runs | ({"base": arguments.base} if arguments.base else {}) | parts
    adapters = [source_folder(name) for name in arguments.adapter]
    return Job(
        adapters=adapters,
        base=base_folder(arguments.base, adapters),
        output=arguments.output,
        parts={role: source_folder(name, weights=with_weights[role]) for role, name in parts.items()},
        given=given_options(arguments),
        dtype=arguments.dtype,
        quantize=getattr(arguments, "quantize", None),
        device=arguments.device,
        max_shard_bytes=arguments.max_shard_size,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
        verify=not arguments.no_verify,
        allow_code=getattr(arguments, "allow_code", False),
        quiet=arguments.quiet,
        inputs={role: input_name(name) for role, name in names.items()},
        command=told_command(arguments.command_line, arguments.output),
    )


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of all families that the caller gave."""
    kinds = [kind for f in FAMILIES.values() for kind in (f.options, f.create_options) if kind]
    names = {option.name for kind in kinds for option in fields(kind)}
    return {name: value for name in sorted(names) if (value := getattr(arguments, name, None)) is not None}


def input_name(name: str) -> str:
    """A repository's id, or a folder's own name without where it lies."""
    return Path(name).resolve().name if Path(name).is_dir() else name
