"""The files of a checkpoint by their SHA-256: recorded in its report, and compared with what is there later."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...configuration.vla_errors import ConversionError
from ...training.waiting import WAIT
from .file_kinds import OF_TOOLS, REPORT_NAME, leads_out
from .json_file import json_text
from .report_form import load_report

READ_BYTES = 2**20
OWN_HASH = "sha256_of_the_rest"  # a file cannot hold its own hash


def entry_of(content: bytes) -> dict[str, Any]:
    """What is recorded of one file."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def entry_of_file(path: Path, progress: tqdm | None = None) -> dict[str, Any]:
    """The same of a file that may be larger than the memory; progress: counts bytes."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
            size += len(block)
            if progress is not None:
                progress.update(len(block))
    return {"sha256": digest.hexdigest(), "bytes": size}


def record(report: dict, folder: Path, known: dict[str, dict[str, Any]] | None = None, quiet: bool = True) -> None:
    """Record all files of a folder but the report itself in the report.

    known: entries of files that need not be read again.
    """
    known = known or {}
    paths = {name: path for name, path in files_below(folder).items() if name != REPORT_NAME}
    with hashing((path for name, path in paths.items() if name not in known), quiet) as progress:
        report["files"] = {name: known.get(name) or entry_of_file(path, progress) for name, path in paths.items()}


def hashing(paths: Iterable[Path], quiet: bool) -> tqdm:
    """A bar in bytes for files that are read whole; it appears where that takes longer than others notice."""
    total = sum(path.stat().st_size for path in paths if path.is_file())
    return tqdm(total=total, unit="B", unit_scale=True, desc="hashing", delay=WAIT, leave=False, disable=quiet)


def with_own_hash(report: dict) -> dict:
    """The report with a hash of all the rest of it, so that a change to it is noticed, too."""
    rest = {name: value for name, value in report.items() if name != OWN_HASH}
    return rest | {OWN_HASH: entry_of(report_text(rest).encode())["sha256"]}


def report_text(report: dict) -> str:
    """As it stands in the file; the same report is the same text."""
    return json_text(report, REPORT_NAME, indent=2, sort_keys=True, ensure_ascii=False)


def read_report(folder: Path) -> dict:
    """`conversion_report.json`, `{}` where there is none.

    Raises:
        ConversionError: it is not as it was written.
    """
    path = folder / REPORT_NAME
    if leads_out(path):
        raise ConversionError(f"{path} is a link out of its folder.")
    report = load_report(folder)
    text = report_text(with_own_hash(report)) if OWN_HASH in report else None
    if "files" in report and path.read_bytes() != (text or "").encode():
        raise ConversionError(f"{path} was changed after it was written, so that what it says cannot be relied on.")
    return report


@dataclass(frozen=True)
class FileChanges:
    """How a folder differs from what was recorded."""

    changed: list[str]
    missing: list[str]
    additional: list[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.additional)

    def __str__(self) -> str:
        kinds = {"changed": self.changed, "missing": self.missing, "additional": self.additional}
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)


def changes_since(folder: Path, report: dict, quiet: bool = True) -> FileChanges:
    """Compare every file with its record; a link that leads out counts as changed, and is not followed."""
    recorded, found = report["files"], files_below(folder)
    found.pop(REPORT_NAME, None)
    both = recorded.keys() & found.keys()
    with hashing((path for name in both if not leads_out(path := found[name])), quiet) as progress:
        same = {name for name in both if is_as_recorded(found[name], recorded[name], progress)}
    return FileChanges(
        sorted(recorded.keys() & found.keys() - same),
        sorted(recorded.keys() - found.keys()),
        sorted(found.keys() - recorded.keys()),
    )


def is_as_recorded(path: Path, entry: dict[str, Any], progress: tqdm) -> bool:
    if leads_out(path) or not path.is_file() or path.stat().st_size != entry["bytes"]:
        return False
    return entry_of_file(path, progress)["sha256"] == entry["sha256"]


def files_below(folder: Path) -> dict[str, Path]:
    """Everything in a folder and below that is no folder itself, by its name there; not what tools leave."""
    found = {}
    for where, folders, files in os.walk(folder):
        if Path(where) == folder:
            folders[:] = [name for name in folders if name not in OF_TOOLS]
            files = [name for name in files if name not in OF_TOOLS]
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        for name in (*files, *links):
            path = Path(where) / name
            found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))
