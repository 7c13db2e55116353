"""Tokenizer files of a source, looked into before they travel into a checkpoint."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from ...configuration.vla_errors import ConversionError
from .file_kinds import leads_out
from .tokenizer_files import check_tokenizer_files

FAST = "tokenizer.json"


def check_tokenizer(folder: Path, left_out: Collection[str] = ()) -> None:
    """Refuse files that the tokenizers library cannot load; a folder without any passes.

    left_out: names of files that are not looked into, such as `links_out` of a folder whose files are copied.

    Raises:
        ConversionError: a file is not JSON or not of its form; the message names it.
    """
    check_tokenizer_files(folder, left_out)
    if FAST in left_out or not (folder / FAST).exists():
        return
    try:
        Tokenizer.from_file(str(folder / FAST))
    except BaseException as error:  # what the library raises is a plain Exception, or a panic, which is none
        raise unreadable(folder / FAST, error) from error


def links_out(folder: Path) -> set[str]:
    """Names of the files that do not travel, as they are links out of their folder."""
    return {path.name for path in folder.iterdir() if leads_out(path)}


def load_fast_tokenizer(folder: Path, left_out: Collection[str] = ()) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder in its fast form, whatever class its config names.

    left_out: names of files that are as if they were not there.

    Raises:
        ConversionError: a file cannot be read.
    """
    check_tokenizer(folder, left_out)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # 4.57 warns where the config names another class; the file read is the same
    try:
        with without(folder, left_out) as place:
            return PreTrainedTokenizerFast.from_pretrained(place)
    except Exception as error:  # of every kind: settings of the wrong type reach all parts of the class
        raise unreadable(folder, error) from error
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def without(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """The folder, or one with links to its other files where some are left out."""
    if not names:
        yield folder
        return
    with TemporaryDirectory() as place:
        for path in folder.iterdir():
            if path.name not in names:
                Path(place, path.name).symlink_to(path.resolve())
        yield Path(place)


def unreadable(path: Path, error: BaseException) -> ConversionError:
    """The error to raise for one of the library's; what ends the program goes on."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ConversionError(f"the tokenizer in {path} cannot be read: {reason}")
