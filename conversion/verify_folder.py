"""`vlahub verify CKPT`: is a checkpoint as it was written, and whole?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..configuration.vla_errors import ConversionError, VLAError
from .dataset_statistics import check_config_statistics
from .files.file_hashes import FileChanges, changes_since, read_report, record, with_own_hash
from .files.file_kinds import CODE, REPORT_NAME, travelling
from .files.json_file import read_json
from .folders.folder_roles import check_checkpoint
from .model_check import check_against_class
from .report import write_report
from .tensors.safetensors_stream import TensorInfo
from .tensors.verify_tensors import check_names, opened, read_back, some
from .travelling.auto_map import check_references
from .travelling.travelling_code import differing, own_code, own_config
from .travelling.unnamed_code import check_unnamed
from .untrained_tensors import CHANGED_LATER, renew_mark

ACCEPT = "If that was on purpose (a card edited, a fine-tune saved over it), vlahub verify --accept records it."
NOTHING_RECORDED = f"nothing is recorded by which a changed file could be noticed: {{}} ({REPORT_NAME})"


@dataclass(frozen=True)
class Checked:
    """One thing that was checked, and is as it should be.

    Attributes:
        what: was looked at.
        count: of files or tensors; bytes: of their content. `None` where there is nothing to count.
        against: what it was compared with.
        found: a sentence.
    """

    what: str
    count: int | None
    bytes: int | None
    against: str
    found: str


def verify_folder(folder: Path, quiet: bool = False, code: bool = False) -> list[Checked]:
    """Check a checkpoint: its files against their record, its tensors against record and class, and its code.

    Returns what was checked.

    Args:
        code: also compare the code with this release's.

    Raises:
        ConversionError: something is not as it should be; the message names every file and tensor.
    """
    report = read_report(folder) if folder.is_dir() else {}
    changes = changes_since(folder, report, quiet) if "files" in report else None
    problems = [f"not as it was written: {changes}. {ACCEPT}"] if changes else []
    try:
        check_checkpoint(folder)
    except ConversionError as error:
        raise ConversionError(" ".join([*problems, str(error)])) from error
    done = [described(report)]
    for check in checks(folder, report, quiet, code):
        try:
            done += check()
        except VLAError as error:
            problems.append(str(error))
        except Exception as error:  # what was changed may fail in any way, and hides nothing that was found
            if not changes:
                raise
            problems.append(f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}")
    if problems:
        raise ConversionError(f"{folder}: " + " ".join(problems))
    return done


def checks(folder: Path, report: dict, quiet: bool, code: bool) -> list[Callable[[], list[Checked]]]:
    found = [
        lambda: checked_references(folder),
        lambda: checked_statistics(folder),
        lambda: checked_tensors(folder, report, quiet),
    ]
    return [*found, lambda: checked_code(folder)] if code else found


def described(report: dict) -> Checked:
    if "files" in report:
        files, size = report["files"], sum(entry["bytes"] for entry in report["files"].values())
        return Checked("files", len(files), size, REPORT_NAME, f"all {len(files)} files are as they were recorded")
    older = "the report is of an older release" if report else "there is no report"
    return Checked("files", None, None, "nothing", NOTHING_RECORDED.format(older))


def checked_references(folder: Path) -> list[Checked]:
    check_references(folder)
    check_unnamed(folder)
    return [Checked("auto_map", None, None, "the folder", "all code that is named lies in the folder")]


def checked_statistics(folder: Path) -> list[Checked]:
    """Whether model and processor can normalise by the statistics that they hold."""
    for name in ("config.json", "processor_config.json"):
        check_config_statistics(read_json([folder], name, required=False) or {})
    return [Checked("statistics", None, None, "the rule of the model", "statistics are complete where there are any")]


def checked_tensors(folder: Path, report: dict, quiet: bool) -> list[Checked]:
    """Names, shapes, dtypes and content of all tensors."""
    group, recorded = opened(folder), report.get("tensors") or {}
    if recorded:
        check_names({name: info_of(entry) for name, entry in recorded.items()}, group, str(folder))
    result = check_against_class(folder, group)
    found = read_back(group, quiet)
    sums = {name: entry["crc32"] for name, entry in recorded.items() if "crc32" in entry}
    changed = [name for name, checksum in sums.items() if f"{found[name]:08x}" != checksum]
    if changed:
        raise ConversionError(f"Tensors that are not as they were written: {some(changed)}.")
    count, size = len(found), sum(group.info(name).bytes for name in found)
    against = f"{len(sums)} checksums in {REPORT_NAME}" if sums else "nothing"
    return [
        Checked("tensors", count, size, against, f"all {count} tensors are readable and finite"),
        Checked("names and shapes", count, None, "the model's class", result),
    ]


def info_of(entry: dict) -> TensorInfo:
    return TensorInfo(tuple(entry["shape"]), getattr(torch, entry["dtype"]))


def checked_code(folder: Path) -> list[Checked]:
    """Compare the code with what this release writes for the same config.

    Raises:
        ConversionError: files differ, are missing or additional.
    """
    config = own_config(folder)
    if config is None:
        raise ConversionError("--code: the model is not of one of vlahub's families.")
    wanted = own_code(config, [folder]).texts
    there = {path.name: path.read_bytes() for path in travelling(folder, CODE)}
    differing = sorted(name for name in wanted.keys() & there.keys() if there[name] != wanted[name].encode())
    missing, additional = sorted(wanted.keys() - there.keys()), sorted(there.keys() - wanted.keys())
    if changes := FileChanges(differing, missing, additional):
        raise ConversionError(f"the code is not that of this release: {changes}.")
    size = sum(map(len, there.values()))
    found = f"all {len(wanted)} code files are those of this release"
    return [Checked("code", len(wanted), size, "this release", found)]


def foreign_code(folder: Path) -> list[str]:
    """Names of the code files that this release would not write: recorded or not, they are not ours."""
    config = own_config(folder)
    return differing(travelling(folder, CODE), own_code(config, [folder]).texts if config else {})


def accept_changes(folder: Path, quiet: bool = False) -> str:
    """Record a checkpoint as it is now, once it is found to be whole; returns what was recorded.

    Raises:
        ConversionError: there is no report, or the checkpoint as it is now is not whole.
    """
    check_checkpoint(folder)
    report = read_report(folder)
    if not report:
        raise ConversionError(
            f"{folder} has no {REPORT_NAME} in which changes could be recorded: conversions write one."
        )
    check_references(folder)
    check_unnamed(folder)
    group = opened(folder)
    check_against_class(folder, group)
    found = read_back(group, quiet)
    changes = changes_since(folder, report, quiet) if "files" in report else None
    recorded = report.get("tensors") or {}
    report["tensors"] = {}
    for name, checksum in found.items():
        known, info = recorded.get(name, {}), group.info(name)
        entry = {"shape": list(info.shape), "dtype": str(info.dtype).removeprefix("torch."), "crc32": f"{checksum:08x}"}
        same = {**known, **entry} == known or ("crc32" not in known and changes is None)
        kept = known if same else {"operation": CHANGED_LATER, "sources": []}
        report["tensors"][name] = {**kept, **entry}
    renew_mark(report)
    record(report, folder, quiet=quiet)
    report["foreign_code"] = sorted({*report.get("foreign_code", ()), *foreign_code(folder)})
    if changes:
        report["accepted"] = sorted(
            {*report.get("accepted", ()), *changes.changed, *changes.missing, *changes.additional}
        )
    write_report(with_own_hash(report), folder)
    return f"recorded as they are now: {changes or 'all files, which were not recorded before'}"
