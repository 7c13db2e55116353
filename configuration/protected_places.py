"""Folders that nothing is ever written to as an output: a home, the current one, the root, and what is above them."""

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def why_no_output(output: Path, folder: Path) -> str | None:
    """What to say of an output in such a place; `None` of any other.

    folder: the same without links.
    """
    if str(output).startswith("~"):
        return (
            f"the output {str(output)!r} would be a folder named {output.parts[0]!r}: the shell did not replace ~ by "
            "the home directory; write the path out."
        )
    if folder == folder.parent:
        return f"{output} is the root of a file system; name a folder of its own for the output."
    for place, name in protected_places():
        if is_same_or_above(folder, place):
            return (
                f"the output {str(output)!r} is {name} or a folder above it, which is never replaced; name a folder of "
                "its own (an empty name means the current directory)."
            )
    return None


def protected_places() -> Iterator[tuple[Path, str]]:
    with suppress(FileNotFoundError):  # it was deleted
        yield Path.cwd(), "the current directory"
    homes = {os.environ.get("HOME"), pwd.getpwuid(os.getuid()).pw_dir if known_user() else None}
    for home in sorted(filter(None, homes)):
        yield Path(home).resolve(), "a home directory"


def known_user() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a container may run as a user without a name
        return False
    return True


def is_same_or_above(folder: Path, place: Path) -> bool:
    """By name, and by what the system says is one folder (it may be mounted under two names)."""
    if folder == place or folder in place.parents:
        return True
    if not os.path.exists(folder):  # nor where it may not be looked at
        return False
    status = folder.stat()
    return any(os.path.samestat(status, path.stat()) for path in (place, *place.parents) if path.exists())
