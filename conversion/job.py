"""One conversion from start to end: plan, write beside the final name, verify, and only then appear under it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm
from transformers import PretrainedConfig

from ..configuration.vla_errors import ConversionError
from .assumptions import assumptions_warning
from .bases_of_adapters import other_base_warning, other_weights_warning
from .files.file_hashes import record, with_own_hash
from .files.given_paths import input_paths
from .files.output_guard import check_output
from .merged_adapters import MERGED, merged_adapters
from .output_folder import output_folder
from .quantised_layers import describe_errors, quantise_plan
from .report import describe, report_of, write_report
from .tensors.plan import Plan
from .tensors.verify_tensors import verify_written
from .tensors.weight_writer import write_weights
from .travelling.travelling_code import TravellingCode, not_taken
from .untrained_copies import untrained_mark

MADE_WITH = ("vlahub", "transformers", "torch")
Options = TypeVar("Options")


@dataclass
class Job:
    """What to read, what to write, and the settings that were given.

    Attributes:
        adapters: run folders (or, for a merged checkpoint, that one folder), merged in this order.
        base: the base model, where there is one to merge into.
        given: what no file records and the caller said, by the names that the families' options have for it.
        dtype: "auto" (the base's), "float32", "bfloat16" or "float16".
        quantize: "int8", "fp8" or "int4", for weights of lower precision.
        device: where the arithmetic is done.
        parts: folders of the parts that a checkpoint is assembled from, or that say what a run does not, by their role.
        allow_code: let code of the base that is not ours travel into the output.
        inputs: names of base and runs for the report, where no path belongs.
        command: the command line that asked for it, without paths, for the report.
    """

    adapters: list[Path]
    output: Path
    base: Path | None = None
    parts: dict[str, Path] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    dtype: str = "auto"
    quantize: str | None = None
    device: str = "cpu"
    max_shard_bytes: int = 2 * 10**9
    overwrite: bool = False
    dry_run: bool = False
    verify: bool = True
    allow_code: bool = False
    quiet: bool = False
    inputs: dict[str, str] = field(default_factory=dict)
    command: str = ""

    def options(self, kind: type[Options]) -> Options:
        """The options of a family, a dataclass, from what was given."""
        names = [option.name for option in fields(kind)]
        return kind(**{name: self.given[name] for name in names if self.given.get(name) is not None})


@dataclass
class Prepared:
    """A job that was planned: what its family decided.

    Attributes:
        write_files: writes everything but weights and report into a folder, given the report.
        code: of the sources, where it is not left behind.
        config: that `write_files` writes, where it is of a family of ours.
    """

    family: str
    plan: Plan
    write_files: Callable[[Path, dict], None]
    code: TravellingCode = field(default_factory=TravellingCode)
    config: PretrainedConfig | None = None


def run_job(job: Job, prepare: Callable[[Job], Prepared]) -> Plan:
    """Carry out a job; with `dry_run` only plan it.

    Raises:
        ConversionError, ConfigError: something is missing, unknown or does not fit, or what was written is not what was
            planned; nothing is left behind.
    """
    check_device(job.device)
    check_output(job.output, job.overwrite, input_paths(job), job.dry_run)
    prepared = prepare(job)
    if job.quantize:
        quantise_plan(prepared.plan, job.quantize, prepared.config)
    warnings = [assumptions_warning(prepared.plan.facts), other_base_warning(job.base, job.adapters)]
    warnings.append(other_weights_warning(job.base, job.adapters))
    prepared.plan.left_behind = not_taken(source_folders(job), prepared.plan, prepared.code)
    say(job, describe(prepared.plan))
    for warning in warnings:
        if warning:  # the result may be wrong: that is no matter of --quiet
            print(warning, file=sys.stderr)
    if job.dry_run:
        return prepared.plan
    report = report_of(prepared.plan, prepared.family, job.inputs)
    report |= {"command": job.command, "made_with": {name: version(name) for name in MADE_WITH}}
    report |= untrained_mark(prepared.plan)
    if merged := merged_adapters(job.base, job.adapters):
        report[MERGED] = merged
    report["foreign_code"] = sorted(path.name for path in prepared.code.foreign)
    with output_folder(job.output, job.overwrite) as folder:
        prepared.write_files(folder, report)
        written = write_weights(prepared.plan, folder, job.max_shard_bytes, job.quiet, job.device)
        for name, checksum in written.checksums.items():
            report["tensors"][name]["crc32"] = f"{checksum:08x}"
        for name, error in written.errors.items():
            report["tensors"][name]["relative_error"] = error
        record(report, folder, known=written.files)
        write_report(with_own_hash(report), folder)
        if job.verify:
            verify_written(prepared.plan, folder, written.checksums, job.quiet, job.device)
    if written.errors:
        say(job, describe_errors(written.errors))
    say(job, f"wrote {job.output}")
    return prepared.plan


def source_folders(job: Job) -> dict[str, Path]:
    """All folders that are read, by the names that reports have for them."""
    runs = {"run" if i == 1 else f"run {i}": folder for i, folder in enumerate(job.adapters, start=1)}
    return runs | ({"base": job.base} if job.base else {}) | job.parts


def check_device(device: str) -> None:
    """Refuse a device that torch cannot compute on here."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConversionError(f"--device {device} cannot be used here: {reason}; --device cpu always can.") from error


def say(job: Job, text: str) -> None:
    if not job.quiet:
        tqdm.write(text)
