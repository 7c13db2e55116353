"""A single output file: refused before any work where it would replace what is no result of ours, written at once."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...configuration.vla_errors import InputError
from .given_paths import HOME


@contextmanager
def result_file(
    output: Path,
    is_ours: Callable[[Path], bool],
    inputs: Iterable[Path] = (),
    overwrite: bool = True,
    make_parents: bool = False,
) -> Iterator[Path]:
    """Yield an empty file beside `output`, with its suffix; when the block ends without an error it becomes `output`.

    Of an `output` that is a link the target is meant.

    Args:
        is_ours: whether an existing file is a result of the same kind, which may be replaced.
        inputs: files that are read.
        overwrite: replace an earlier result.
        make_parents: make the folders above; else they have to be there.

    Raises:
        InputError: see `check_output_file`.
    """
    check_output_file(output, is_ours, inputs, overwrite)
    target = output.resolve()
    made = make_folders(target.parent, output) if make_parents else []
    work = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        create(work, output)
        yield work
        check_output_file(output, is_ours, inputs, overwrite)  # nobody else put one there meanwhile
        os.replace(work, target)
    finally:
        with suppress(OSError):
            work.unlink(missing_ok=True)
        for folder in made:  # that nothing was written into
            with suppress(OSError):
                folder.rmdir()


def make_folders(folder: Path, output: Path) -> list[Path]:
    """Make a folder and those above it; returns those that were not there, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror} ({error.filename}); name another file."
        ) from error
    return missing


def create(work: Path, output: Path) -> None:
    """An empty file that was not there, so that a path that cannot be written is noticed before any work."""
    try:
        os.close(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    except OSError as error:
        advice = "" if work.parent.exists() else ": make the folder first"
        raise InputError(f"{output} cannot be written: {error.strerror} ({work.parent}){advice}.") from error


def check_output_file(
    output: Path, is_ours: Callable[[Path], bool], inputs: Iterable[Path] = (), overwrite: bool = True
) -> None:
    """Refuse a file that must not be written.

    Raises:
        InputError: `output` is a folder or an input, or exists and is no result of ours or may not be overwritten.
    """
    if str(output).startswith("~"):
        raise InputError(f"the output {str(output)!r} would lie in a folder named {output.parts[0]!r}: {HOME}")
    if output.is_dir():
        raise InputError(f"{str(output)!r} is a folder; name a file.")
    if any(is_same(output, path) for path in inputs):
        raise InputError(f"{output} is an input of this command; name another file for the output.")
    if not os.path.lexists(output) or (output.is_symlink() and not output.exists()):
        return
    if not overwrite:
        raise InputError(f"{output} exists; name another file, or pass --overwrite to replace it.")
    if not output.is_file() or not is_ours(output):
        raise InputError(f"{output} exists and is no result of this command, so it is not replaced; name another file.")


def is_same(output: Path, source: Path) -> bool:
    """Whether both names stand for one file."""
    if output.resolve() == source.resolve():
        return True
    return output.exists() and source.exists() and output.samefile(source)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, and those that lie in folders."""
    paths = list(paths)
    inside = [path for folder in paths if folder.is_dir() for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if path.is_file()] + inside
