"""Two names of one file system exchanged in one step, where the system can do that (Linux)."""

import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
NOT_POSSIBLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def exchange(first: Path, second: Path) -> bool:
    """Whether the two changed places; `False`, and nothing has changed, where kernel, C library or file system cannot.

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
