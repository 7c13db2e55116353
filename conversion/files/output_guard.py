"""May this folder be written, and may it be replaced? Asked before any work, and again before anything is replaced."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...configuration.protected_places import why_no_output
from ...configuration.vla_errors import ConversionError
from .file_kinds import CODE, PICKLED, REPORT_NAME, WEIGHTS, kind_of

WORK, OLD, LOCK = "partial", "replaced", "lock"  # what a run has beside its output, hidden
# Code belongs to a checkpoint where our report records it or `auto_map` leads to it, and without such a report under
# the names that code of a model has: any other script is somebody's work.
MODEL_CODE = re.compile(r"(configuration|modeling|(image_|video_)?processing|tokenization|feature_extraction)_\w+\.py")
SIBLING = re.compile(r"(?m)^\s*from \.(\w+) import")
MOUNTS = Path("/proc/self/mountinfo")
SHOWN = 4


def check_output(output: Path, overwrite: bool = False, inputs: Iterable[Path] = (), dry_run: bool = False) -> None:
    """Refuse an output folder that must not be written or replaced; a link is followed, and its target is meant.

    Args:
        overwrite: a folder that is not empty may be replaced: a checkpoint with nothing foreign beside it.
        inputs: files and folders that are read; none of them, and nothing that they link to, may lie in the output.
        dry_run: nothing will be written, so that what the folder holds does not matter.

    Raises:
        ConversionError: the message names what is in the way.
    """
    folder = resolved(output)
    if folder.exists() and not folder.is_dir():
        raise ConversionError(f"{output} is a file; name a folder.")
    check_place(output, folder)
    check_inputs(output, folder, inputs)
    check_parent(output, folder)
    if not dry_run and folder.is_dir():
        check_content(output, folder, overwrite)


def resolved(path: Path) -> Path:
    """Without links; the end of the path need not exist."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError before Python 3.13
        raise ConversionError(f"{path} cannot be followed: {error}") from error


def beside(output: Path, suffix: str) -> Path:
    return output.parent / f".{output.name}.{suffix}"


def leftovers(output: Path) -> list[Path]:
    """What a run that could not clean up has left beside an output, folder or file."""
    output = resolved(output)
    names = (f".{output.name}.{WORK}", f".{output.name}.{OLD}", f".{output.stem}.{os.getpid()}.partial{output.suffix}")
    return [path for name in names if os.path.lexists(path := output.parent / name)]


def check_place(output: Path, folder: Path) -> None:
    """Places that are never written or replaced, whatever they hold."""
    if words := why_no_output(output, folder):
        raise ConversionError(words)
    if os.path.ismount(folder) or str(folder) in mount_points():
        raise ConversionError(f"{output} is a mount point and cannot be replaced as a whole; name a folder inside it.")


def mount_points() -> set[str]:
    """What is mounted where, as Linux lists it: of one file system mounted in itself, `ismount` knows nothing."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4]) for line in lines}


def check_inputs(output: Path, folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that holds what is read, or what a link in there leads to."""
    for source in inputs:
        for path in (source, *links_of(source)):
            place = resolved(path)
            if place == folder or folder in place.parents:
                through = "" if path == source else f" ({path} links into it)"
                raise ConversionError(
                    f"the output {output} would replace the source {source}{through}; name another folder."
                )


def lies_inside(output: Path, sources: Iterable[Path]) -> str | None:
    """What to say of an output inside of a folder that is read; `None` where it lies elsewhere."""
    folder = resolved(output)
    source = next((source for source in sources if source.is_dir() and resolved(source) in folder.parents), None)
    if source is None:
        return None
    return (
        f"{output} lies inside of {source}, which is read: whoever copies, replaces or removes that does so with the "
        "output, and of a checkpoint `vlahub verify` calls it additional; a place beside it has none of this."
    )


def links_of(source: Path) -> Iterator[Path]:
    """Links in a folder that is read, and in its sub-folders."""
    if not source.is_dir():
        return
    for parent, folders, files in os.walk(source):
        yield from (path for name in (*folders, *files) if (path := Path(parent, name)).is_symlink())


def check_parent(output: Path, folder: Path) -> None:
    """The output is written beside its final name first."""
    parent = next(path for path in folder.parents if os.path.lexists(path))
    if not parent.is_dir():
        raise ConversionError(f"{output} cannot be written: {parent} is no folder.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConversionError(f"{output} cannot be written: there is no permission to write in {parent}.")


def check_content(output: Path, folder: Path, overwrite: bool) -> None:
    """Refuse to replace what is no checkpoint, or anything without `overwrite`; an empty folder is free."""
    entries = sorted(folder.iterdir())
    if not entries:
        return
    if not overwrite:
        raise ConversionError(f"{output} is not empty; name another folder, or pass --overwrite to replace it.")
    if (folder / ".git").exists():
        raise ConversionError(f"{output} is a git work tree, which --overwrite never replaces; name another folder.")
    code = code_in(folder)
    foreign = [path.name + ("/" if path.is_dir() else "") for path in entries if not is_ours(path, code)]
    if foreign:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        raise ConversionError(
            f"{output} holds {', '.join(foreign[:SHOWN])}{more}, no part of a checkpoint: --overwrite replaces "
            "checkpoints alone. Move it away, or name another folder."
        )
    if not is_checkpoint(folder):
        raise ConversionError(
            f"{output} is no checkpoint (config.json and weights, or {REPORT_NAME}), and --overwrite replaces nothing "
            "else; name another folder."
        )


def is_checkpoint(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    weights = any(is_weights(name) and not name.endswith(".index.json") for name in names)
    return ("config.json" in names and weights) or "tensors" in (json_of(folder / REPORT_NAME) or {})


def is_ours(path: Path, code: set[str]) -> bool:
    """Whether this is a file that a checkpoint has: no folder, no link, and of a known name."""
    name = path.name
    known = is_weights(name) or name == ".gitattributes" or kind_of(name) not in (None, CODE)
    return (known or name in code) and path.is_file() and not path.is_symlink()


def is_weights(name: str) -> bool:
    return kind_of(name) == WEIGHTS or bool(re.fullmatch(PICKLED, name))


def code_in(folder: Path) -> set[str]:
    """Code files that `auto_map` names, those that they import from their side, and those that a report records."""
    maps = [(json_of(path) or {}).get("auto_map") for path in folder.glob("*config.json")]
    classes = [name for found in maps if isinstance(found, dict) for name in found.values()]
    waiting = [str(name).rpartition("--")[2].split(".")[0] for name in classes]
    found: set[str] = set()
    while waiting:
        path = folder / f"{waiting.pop()}.py"
        if path.name not in found and path.parent == folder and path.is_file():
            found.add(path.name)
            waiting += SIBLING.findall(path.read_text(encoding="utf-8", errors="replace"))
    return found | recorded_code(folder)


def recorded_code(folder: Path) -> set[str]:
    """Code files of our report; without one, all that are named as code of a model."""
    files = (json_of(folder / REPORT_NAME) or {}).get("files")
    if isinstance(files, dict):
        return {name for name in files if name.endswith(".py")}
    return {path.name for path in folder.glob("*.py") if MODEL_CODE.fullmatch(path.name)}


def json_of(path: Path) -> dict | None:
    """The mapping in a file; `None` where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
