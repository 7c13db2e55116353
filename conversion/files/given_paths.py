"""What was given on the command line as names of files and folders."""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from ...configuration.vla_errors import ConversionError

OUTPUTS = ("output", "plot")
REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")
TEXTS = ("--instruction",)  # may be empty
PAGE = re.compile(r"(?:https?:/+)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:models/|datasets/)?([\w.-]+/[\w.-]+)(/.*)?")
HOME = "the shell did not replace ~ by the home directory; write the path out."
WITHIN = re.compile(r"([\w-][\w.-]*/[\w.-]+)/(?:tree|blob|resolve)/.*")  # a page of a repository


def check_not_empty(argv: Sequence[str]) -> None:
    """Refuse an empty argument: what a shell makes of a variable that is not set. As a path it would be the current
    directory, as an option like no option at all.

    Raises:
        ConversionError: the message names the option.
    """
    for previous, word in zip(("", *argv), argv, strict=False):
        option = word[:-1] if word.startswith("--") and word.endswith("=") else previous
        if word in ("", f"{option}=") and option not in TEXTS:
            where = f"the value of {option}" if option.startswith("-") else "an argument"
            raise ConversionError(f"{where} is empty: is a variable not set?")


def input_paths(arguments: object) -> list[Path]:
    """Every file and folder that is named in the attributes of an object (arguments, a job), and is no output."""
    values = [value for name, value in vars(arguments).items() if name not in OUTPUTS]
    return [path for value in values for path in existing(value)]


def existing(value: object) -> Iterator[Path]:
    if dataclasses.is_dataclass(value):
        yield from input_paths(value)
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from existing(part)
    elif isinstance(value, (str, Path)) and value != "" and exists(Path(value)):
        yield Path(value)


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False


def why_not_local(name: str) -> str | None:
    """What is wrong with a name that can only mean a folder; `None` where it can be a repository's id."""
    path = Path(name)
    if path.is_file():
        folder = "the current one (.)" if path.parent == Path() else path.parent
        return f"it is a file; name the folder that it lies in, {folder}."
    if os.path.lexists(path):
        return "it is no folder." if path.exists() else "it is a link to what is not there."
    if name.startswith("~"):
        return HOME
    if page := PAGE.fullmatch(name) or WITHIN.fullmatch(name):
        return f"it is the address of a page; a repository is named by its id alone, {page[1]}."
    if "://" in name or name.startswith(("http:/", "https:/")):
        return "it is an address; name a folder, or a repository of the Hub by its id, user/name."
    if REPOSITORY.fullmatch(name) and not name.startswith("."):
        return None
    parent = next(folder for folder in path.absolute().parents if folder.is_dir())
    return f"there is no such folder; {parent} is the last part of the path that exists{meant_folder(path)}."


def why_no_single_name(name: str) -> str | None:
    """As `why_not_local`, and of a name without a slash that a folder is almost called; most ids are user/name."""
    if (reason := why_not_local(name)) or "/" in name:
        return reason
    meant = meant_folder(Path(name))
    return f"there is no such folder{meant}." if meant else None


def meant_folder(path: Path) -> str:
    """` (did you mean RUN?)`, a folder beside it whose name is like the last of a path; else nothing."""
    return meant_among(path, Path.is_dir)


def meant_file(path: Path) -> str:
    """The same of files."""
    return meant_among(path, Path.is_file)


def meant_among(path: Path, is_kind: Callable[[Path], bool]) -> str:
    try:
        beside = [entry.name for entry in path.parent.iterdir() if is_kind(entry)]
    except OSError:
        return ""
    close = get_close_matches(path.name, beside, 1)
    return f" (did you mean {path.parent / close[0]}?)" if close else ""
