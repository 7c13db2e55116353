"""Prompts as token ids, in which what a user writes is text and nothing else.

A tokenizer finds its special and added tokens (`</s>`, `<|im_end|>`, `<i7>`, ...) in everything that it is given. Those
of a prompt's template are meant; those that an instruction spells out are not, and would end a turn or move an image.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..configuration.vla_errors import InputError

MARK, END = "\ue000", "\ue001"  # of Unicode's private use


def prompt_token_ids(
    tokenizer: Any,
    pieces: Sequence[str],
    instruction: str,
    kept: Sequence[str] = (),
    add_special_tokens: bool = True,
) -> list[int]:
    """The ids of the pieces of a template with the instruction between them, as the tokenizer gives them.

    Where the instruction spells special or added tokens, they become the ids that this text would have in a tokenizer
    without them; whitespace that a tokenizer adds as a token is text anyway. Ordinary text is not touched.

    Args:
        kept: added tokens that an instruction may hold.

    Raises:
        InputError: the instruction spells such a token, and the tokenizer is a slow one, which cannot do without.
    """
    prompt = instruction.join(pieces)
    ids = tokenizer(prompt, add_special_tokens=add_special_tokens)["input_ids"]
    added = {token: index for token, index in tokenizer.get_added_vocab().items() if token.strip()}
    hidden = set(added.values()) - {added.get(token) for token in kept} - {tokenizer.unk_token_id}
    template = tokenizer("".join(pieces), add_special_tokens=add_special_tokens)["input_ids"]
    surplus = counted(ids, hidden) - counted(template, hidden)
    if not surplus:
        return ids
    if not tokenizer.is_fast:
        token = tokenizer.convert_ids_to_tokens(next(iter(surplus)))
        raise InputError(f"the text {instruction!r} holds the token {token!r} of the tokenizer; leave it out.")
    return ids_without(tokenizer, list(added), pieces, instruction, kept, add_special_tokens)


def counted(ids: Sequence[int], wanted: set[int]) -> Counter:
    return Counter(i for i in ids if i in wanted)


def ids_without(
    tokenizer: Any,
    added: list[str],
    pieces: Sequence[str],
    instruction: str,
    kept: Sequence[str],
    add_special_tokens: bool,
) -> list[int]:
    """As `prompt_token_ids`, from a tokenizer whose added tokens have names that the instruction does not hold.

    The template's tokens get these names, too, and so do the instruction's that are `kept`. Ids stay.
    """
    mark = MARK
    while mark in instruction:
        mark += MARK
    names = {token: f"{mark}{token}{END}" for token in added}
    by_length = sorted(added, key=len, reverse=True)
    pieces = [renamed(piece, by_length, names) for piece in pieces]
    instruction = renamed(instruction, kept, names)
    backend = tokenizer.backend_tokenizer
    twin = type(backend).from_str(json.dumps(with_other_names(json.loads(backend.to_str()), names), allow_nan=False))
    return twin.encode(instruction.join(pieces), add_special_tokens=add_special_tokens).ids


def renamed(text: str, tokens: Sequence[str], names: dict[str, str]) -> str:
    """The text with the names in the places of the tokens; of several at one place the first of `tokens` is meant."""
    start = 0
    while start < len(text):
        token = next((token for token in tokens if text.startswith(token, start)), None)
        name = text[start] if token is None else names[token]
        text = text[:start] + name + text[start + (1 if token is None else len(token)) :]
        start += len(name)
    return text


def with_other_names(settings: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A tokenizer.json in which added tokens have other names, in its model's vocabulary as well; in place."""
    for token in settings["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = settings["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(token, token): index for token, index in model["vocab"].items()}
    else:  # Unigram: pairs of a piece and its score
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    settings["truncation"] = settings["padding"] = None
    return settings
