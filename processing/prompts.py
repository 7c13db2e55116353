"""Prompts as token ids, in which what a user writes is text and nothing else, padded to one length.

A tokenizer finds its special and added tokens (`</s>`, `<|im_end|>`, `<i7>`, ...) in everything that it is given. Those
of a prompt's template are meant; those that an instruction spells out are not, and would end a turn or move an image.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..configuration.vla_errors import ConfigError, InputError, VLAError

MARK, END = "\ue000", "\ue001"  # of Unicode's private use
LONG_HEAD = 3  # words that nobody begins an instruction with by chance
PADDING_SIDES = ("right", "left")


def instruction_of(text: str, head: str, tail: str, images: str = "") -> str:
    """The instruction in a text that is a whole prompt; any other text as it is.

    A prompt is recognised letter by letter, and with other case and whitespace as well; behind a head of several words
    the end of the tail may be missing, or all of it.

    Args:
        head, tail: what the template has before and after the instruction; the head may hold "{images}".
        images: a regular expression for what stands there, which may be nothing.
    """
    parts = head.split("{images}")
    words = "".join(parts).split()
    if not words and not tail.strip():
        return text
    exact = images.join(map(re.escape, parts))
    found = re.fullmatch(f"{exact}(.*){re.escape(tail)}", text, re.DOTALL)
    if found:
        return found[1]
    loose = rf"\s*{images}\s*".join(r"\s+".join(map(re.escape, part.split())) for part in parts)
    ending = r"\s*" + r"\s*".join(map(re.escape, tail.split()))
    if len(words) >= LONG_HEAD:
        ending = ""
        for word in reversed(tail.split()):
            ending = rf"(?:\s*{re.escape(word)}{ending})?"
    found = re.fullmatch(rf"\s*{loose}\s*(.*?){ending}\s*", text, re.DOTALL | re.IGNORECASE)
    return found[1] if found else text


def prompt_token_ids(
    tokenizer: Any,
    pieces: Sequence[str],
    instruction: str | Sequence[str],
    kept: Sequence[str] = (),
    add_special_tokens: bool = True,
) -> list[int]:
    """The ids of the pieces of a template with the instruction between them, as the tokenizer gives them.

    Where the instruction spells special or added tokens, they become the ids that this text would have in a tokenizer
    without them; whitespace that a tokenizer adds as a token is text anyway. Ordinary text is not touched.

    Args:
        instruction: the same between all pieces, or of a chat one text for each place, one fewer than pieces.
        kept: added tokens that an instruction may hold.

    Raises:
        InputError: the instruction spells such a token, and the tokenizer is a slow one, which cannot do without.
    """
    prompt = joined(pieces, instruction)
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


def joined(pieces: Sequence[str], instruction: str | Sequence[str]) -> str:
    """The pieces with the instruction, or of several texts with one after the other, between them."""
    if isinstance(instruction, str):
        return instruction.join(pieces)
    return pieces[0] + "".join(text + piece for text, piece in zip(instruction, pieces[1:], strict=True))


def counted(ids: Sequence[int], wanted: set[int]) -> Counter:
    return Counter(i for i in ids if i in wanted)


def ids_without(
    tokenizer: Any,
    added: list[str],
    pieces: Sequence[str],
    instruction: str | Sequence[str],
    kept: Sequence[str],
    add_special_tokens: bool,
) -> list[int]:
    """As `prompt_token_ids`, from a tokenizer whose added tokens have names that the instruction does not hold.

    The template's tokens get these names, too, and so do the instruction's that are `kept`. Ids stay.
    """
    mark, texts = MARK, [instruction] * (len(pieces) - 1) if isinstance(instruction, str) else instruction
    while any(mark in text for text in texts):
        mark += MARK
    names = {token: f"{mark}{token}{END}" for token in added}
    by_length = sorted(added, key=len, reverse=True)
    pieces = [renamed(piece, by_length, names) for piece in pieces]
    texts = [renamed(text, kept, names) for text in texts]
    backend = tokenizer.backend_tokenizer
    twin = type(backend).from_str(json.dumps(with_other_names(json.loads(backend.to_str()), names), allow_nan=False))
    return twin.encode(joined(pieces, texts), add_special_tokens=add_special_tokens).ids


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
    return settings


def check_image_tokens(ids: Sequence[int], tokenizer: Any, image_token: str, count: int) -> None:
    """Raises InputError where a prompt has other than `count` image tokens: its instruction brought some of its own."""
    found = ids.count(tokenizer.convert_tokens_to_ids(image_token))
    if found != count:
        raise InputError(
            f"the prompt has {found} image tokens, the images {count}: leave {image_token!r} out of the text."
        )


def check_padding_side(side: str, error: type[VLAError]) -> None:
    """Refuse, by an error of the kind asked for, a side that is neither "right" nor "left"."""
    if side not in PADDING_SIDES:
        raise error(f"padding_side={side!r} is unknown; choose from {', '.join(PADDING_SIDES)}.")


def padded(rows: list[list[int]], tokenizer: Any, side: str, length: int | None = None) -> dict[str, np.ndarray]:
    """`input_ids` and `attention_mask` of prompts of different lengths, (batch, longest) int64 each.

    side: "right" or "left"; length: in place of that of the longest. A language model without a padding token gets its
    end token there: it is masked.
    Raises InputError for another side and ConfigError where the tokenizer has neither token.
    """
    check_padding_side(side, InputError)
    fillers = [i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None]
    if not fillers:
        raise ConfigError("the tokenizer has neither a pad_token nor an eos_token; set one of them.")
    shape = (len(rows), max(map(len, rows)) if length is None else length)
    ids, mask = np.full(shape, fillers[0]), np.zeros(shape, dtype=np.int64)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(shape[1] - len(row), shape[1])
        ids[i, place], mask[i, place] = row, 1
    return {"input_ids": ids, "attention_mask": mask}
