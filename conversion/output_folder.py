"""An output folder that appears whole or not at all."""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..configuration.vla_errors import ConversionError
from .files.output_guard import LOCK, OLD, WORK, beside, check_content, check_output, resolved

AT_FDCWD = -100
RENAME_EXCHANGE = 2
NOT_POSSIBLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
IDENTITY_BYTES = 64  # of the longest note in a lock
NOTE = re.compile(rb"(\d+:\d+)?")


@contextmanager
def output_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a work folder beside `output`; when the block ends without an error it becomes `output`.

    The old output keeps its name until the new one takes it, in one step where the system can. A work folder left by a
    killed run is removed. Two runs to one output exclude each other. Of an `output` that is a link the target is meant.

    Raises:
        ConversionError: `output` may not be written or replaced (see `check_output`), another run writes to it, or
            something that no run of ours left is in the way.
    """
    check_output(output, overwrite)
    output = resolved(output)
    work, old, lock = (beside(output, suffix) for suffix in (WORK, OLD, LOCK))
    with parents_of(output), locked(lock, output) as held:
        clean_up(output, work, old, held)
        try:
            work.mkdir()
            yield work
            sync(work)
            check_output(output, overwrite)  # nobody else put anything there meanwhile
            take_place(work, output, old, held)
            sync_path(output.parent)
        finally:
            clean_up(output, work, old, held)


def take_place(work: Path, output: Path, old: Path, lock: int) -> None:
    """`work` becomes `output`; what `output` held is under one of the other two names then.

    Where the two cannot be exchanged, the lock says first which folder will be moved aside.
    """
    if not output.exists() or not any(output.iterdir()):
        work.rename(output)
    elif not exchange(work, output):
        os.pwrite(lock, identity(output), 0)
        os.fsync(lock)
        output.rename(old)
        work.rename(output)


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names of one file system in one step, where the system can do that (Linux).

    Returns whether they changed places; where kernel, C library or file system cannot, nothing has changed.

    Raises:
        OSError: they could, but may not.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    if renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NOT_POSSIBLE:
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


def clean_up(output: Path, work: Path, old: Path, lock: int) -> None:
    """Remove what a run left, killed or not; what it had moved aside comes back if nothing took its place.

    lock: the open lock, in which that run noted what it moved. Raises ConversionError for what no run has left.
    """
    for leftover in (work, old):
        check_own_folder(leftover)
    if old.exists():
        check_content(old, old, overwrite=True)  # a run moves aside nothing but checkpoints
        if os.pread(lock, IDENTITY_BYTES, 0) != identity(old):
            raise ConversionError(
                f"{old} is in the way: no run has noted that it moved this folder there. If it is an output of yours "
                f"(an older release notes nothing), rename it to {output}, else remove it."
            )
        if not output.exists():
            old.rename(output)
    for leftover in (work, old):
        shutil.rmtree(leftover, ignore_errors=True)
    if not old.exists():
        os.ftruncate(lock, 0)


def identity(folder: Path) -> bytes:
    """What tells a folder from any other that takes its name."""
    status = folder.lstat()
    return f"{status.st_dev}:{status.st_ino}".encode()


def check_own_folder(path: Path) -> None:
    """Refuse what no run of this user has left under that name; nothing is followed, moved or removed."""
    if not os.path.lexists(path):
        return
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConversionError(f"{path} is in the way: it is {entry_kind(status.st_mode)}, not a folder; remove it.")
    if status.st_uid != os.geteuid():
        raise ConversionError(f"{path} is in the way: it belongs to another user; remove it, or name another output.")


def entry_kind(mode: int) -> str:
    """What an entry is, in words."""
    kinds = {stat.S_IFLNK: "a link", stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe"}
    return kinds.get(stat.S_IFMT(mode), "a socket or a device")


@contextmanager
def parents_of(output: Path) -> Iterator[None]:
    """The folders above an output; those that are made here go again when they are not needed in the end."""
    missing = [path for path in output.parents if not path.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # not empty: the output is there, or something else
            for path in missing:
                path.rmdir()


@contextmanager
def locked(path: Path, output: Path) -> Iterator[int]:
    """Hold a lock that ends with the process, whatever ends it; yields its open file."""
    descriptor = opened_lock(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.lexists(path) and os.path.samestat(os.fstat(descriptor), path.lstat())
        except OSError:
            held = False
        if not held:
            raise ConversionError(f"another run is writing to {output}; wait for it, or name another folder.")
        try:
            yield descriptor
        finally:
            if not os.fstat(descriptor).st_size:  # else there is a note for the next run
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def opened_lock(path: Path) -> int:
    """A lock of this user; links are not followed, and what is no lock is refused and left as it is."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise ConversionError(f"{path} is in the way: it is {entry_kind(path.lstat().st_mode)}, not a lock; remove it.")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    status = os.fstat(descriptor)
    note = NOTE.fullmatch(os.pread(descriptor, IDENTITY_BYTES + 1, 0))
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or not note:
        os.close(descriptor)
        raise ConversionError(f"{path} is in the way: no run of this user left it; remove it, or name another output.")
    return descriptor


def sync(folder: Path) -> None:
    """Bring all that lies in a folder, and the names, to the disk."""
    for path in folder.rglob("*"):
        sync_path(path)
    sync_path(folder)


def sync_path(path: Path) -> None:
    """Bring one file, or the names in one folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
