"""The tokenizer files of a source, looked into before they travel into a checkpoint, or are loaded.

A token id that is far too large ends the whole process in the tokenizers library, without an error to be caught.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from ...configuration.vla_errors import ConversionError
from .file_kinds import leads_out
from .json_file import check_regular, read_json

FAST = "tokenizer.json"
MAX_ID = 2**24 - 1  # more than ten times the largest vocabulary there is
ID_FILES = ("vocab.json", "added_tokens.json")  # mappings of tokens to ids
MAPPINGS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", *ID_FILES)
OTHER_FILES = ("tokenizer.model", "merges.txt", "chat_template.jinja")


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


def check_tokenizer_files(folder: Path, left_out: Collection[str] = ()) -> None:
    """Refuse token ids that no model has; a folder without a tokenizer passes.

    left_out: names of files that are not looked into.

    Raises:
        ConversionError: a file is not what it should be, or an id is no whole number from 0 to `MAX_ID`.
    """
    for name in OTHER_FILES:
        if name not in left_out:
            check_regular(folder / name)
    found = {}
    for name in MAPPINGS:
        found[name] = {} if name in left_out else read_json([folder], name, required=False) or {}
    settings = found["tokenizer_config.json"]
    check_ids(folder / "tokenizer.json", tokenizer_ids(found["tokenizer.json"]))
    check_ids(folder / "tokenizer_config.json", decoder_ids(settings.get("added_tokens_decoder")))
    for name in ID_FILES:
        check_ids(folder / name, found[name].items())


def tokenizer_ids(content: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Tokens and ids of a tokenizer.json; where the model lists its tokens (Unigram) the place is the id."""
    model, added = content.get("model"), content.get("added_tokens")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    yield from vocab.items() if isinstance(vocab, dict) else ()
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict):
            yield token.get("content"), token.get("id")


def decoder_ids(decoder: Any) -> Iterator[tuple[Any, Any]]:
    """Tokens and ids of `added_tokens_decoder`, whose keys are ids written as text."""
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        yield token, int(number) if number.isascii() and number.isdigit() and len(number) < 20 else number


def check_ids(path: Path, ids: Any) -> None:
    for token, number in ids:
        if type(number) is not int or not 0 <= number <= MAX_ID:
            raise ConversionError(f"{path}: the token {token!r} has the id {number!r}; ids are 0 to {MAX_ID}.")
