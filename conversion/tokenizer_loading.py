"""Tokenizer files of a source, looked into before they travel into a checkpoint."""

from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from ..configuration.vla_errors import ConversionError
from .tokenizer_files import check_tokenizer_files

FAST = "tokenizer.json"


def check_tokenizer(folder: Path) -> None:
    """Refuse files that the tokenizers library cannot load; a folder without any passes.

    Raises:
        ConversionError: a file is not JSON or not of its form; the message names it.
    """
    check_tokenizer_files(folder)
    if not (folder / FAST).exists():
        return
    try:
        Tokenizer.from_file(str(folder / FAST))
    except BaseException as error:  # what the library raises is a plain Exception, or a panic, which is none
        raise unreadable(folder / FAST, error) from error


def load_fast_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder in its fast form, whatever class its config names.

    Raises:
        ConversionError: a file cannot be read.
    """
    check_tokenizer(folder)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # 4.57 warns where the config names another class; the file read is the same
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # of every kind: settings of the wrong type reach all parts of the class
        raise unreadable(folder, error) from error
    finally:
        logging.set_verbosity(verbosity)


def unreadable(path: Path, error: BaseException) -> ConversionError:
    """The error to raise for one of the library's; what ends the program goes on."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ConversionError(f"the tokenizer in {path} cannot be read: {reason}")
