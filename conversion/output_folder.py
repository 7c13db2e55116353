"""An output folder that appears whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..configuration.vla_errors import ConversionError


@contextmanager
def output_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a work folder beside `output`; when the block ends without an error it becomes `output`.

    A work folder left by a killed run is removed. Two runs to one output exclude each other.

    Raises:
        ConversionError: `output` is not an empty folder and `overwrite` is not set, or another run writes to it.
    """
    check_output(output, overwrite)
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    work, old = (output.parent / f".{output.name}.{suffix}" for suffix in ("partial", "replaced"))
    with locked(output.parent / f".{output.name}.lock", output):
        clean_up(output, work, old)
        try:
            work.mkdir()
            yield work
            sync(work)
            check_output(output, overwrite)  # nobody else put anything there meanwhile
            if output.exists():
                output.rename(old)
            work.rename(output)
            sync_path(output.parent)
        finally:
            clean_up(output, work, old)


def clean_up(output: Path, work: Path, old: Path) -> None:
    """Remove what a run left, killed or not; what it had moved aside comes back if nothing took its place."""
    if old.exists() and not output.exists():
        old.rename(output)
    for leftover in (work, old):
        shutil.rmtree(leftover, ignore_errors=True)


def check_output(output: Path, overwrite: bool) -> None:
    if output.exists() and not output.is_dir():
        raise ConversionError(f"{output} is a file; name a folder.")
    if output.exists() and any(output.iterdir()) and not overwrite:
        raise ConversionError(f"{output} is not empty; name another folder, or pass --overwrite to replace it.")


@contextmanager
def locked(path: Path, output: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, whatever ends it."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except OSError:
            held = False
        if not held:
            raise ConversionError(f"another run is writing to {output}; wait for it, or name another folder.")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Bring the files in a folder to the disk."""
    for path in folder.iterdir():
        sync_path(path)


def sync_path(path: Path) -> None:
    """Bring one file, or the names in one folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
