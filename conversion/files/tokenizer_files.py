"""The tokenizer files of a folder, looked at before the tokenizers library reads them: a token id that is far too large
ends the whole process there, without an error that could be caught."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError
from .json_file import check_regular, read_json

MAX_ID = 2**24 - 1  # more than ten times the largest vocabulary there is
ID_FILES = ("vocab.json", "added_tokens.json")  # mappings of tokens to ids
MAPPINGS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", *ID_FILES)
OTHER_FILES = ("tokenizer.model", "merges.txt", "chat_template.jinja")


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
