"""Prompts as token ids, in which each view has a fixed number of image tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import AddedToken

from ..configuration.vla_errors import ConfigError, InputError
from .instruction_tokens import prompt_token_ids


def add_image_token(tokenizer: Any, token: str) -> None:
    """Make the image token one that the tokenizer never splits, if it is not."""
    if token not in tokenizer.get_added_vocab():
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=True)], special_tokens=True)


def image_prompt_ids(
    tokenizer: Any, pieces: Sequence[str], instruction: str, image_token: str, tokens_per_view: int, views: int
) -> list[int]:
    """The token ids of one prompt, in which `tokens_per_view` image tokens stand for each view.

    The instruction between the pieces of a template is the prompt: it holds the image token once for all views, or once
    for each view; without any, the images come first. Other added tokens of the instruction are text.
    Raises InputError for another number of image tokens and for one that the tokenizer does not recognise.
    """
    prompt = instruction.join(pieces)
    if image_token not in prompt:
        pieces = [f"{image_token} {pieces[0]}", *pieces[1:]]
        prompt = instruction.join(pieces)
    count = prompt.count(image_token)
    if count not in (1, views):
        raise InputError(
            f"the text holds {count} image tokens, the sample {views} views: write {image_token!r} once, or once for "
            "each view."
        )
    ids = prompt_token_ids(tokenizer, pieces, instruction, kept=[image_token])
    image_id = tokenizer.convert_tokens_to_ids(image_token)
    if ids.count(image_id) != count:
        raise InputError(
            f"the tokenizer sees {ids.count(image_id)} of {count} image tokens in {prompt!r}: put spaces around them."
        )
    repeats = tokens_per_view * views // count
    return np.repeat(ids, [repeats if i == image_id else 1 for i in ids]).tolist()


def padded(rows: list[list[int]], tokenizer: Any, side: str) -> dict[str, np.ndarray]:
    """`input_ids` and `attention_mask` of prompts of different lengths, (batch, longest) int64 each.

    side: "right" or "left". A language model without a padding token gets its end token there: it is masked.
    Raises InputError for another side and ConfigError where the tokenizer has neither token.
    """
    if side not in ("right", "left"):
        raise InputError(f"padding_side={side!r} is unknown; choose from right, left.")
    fillers = [i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None]
    if not fillers:
        raise ConfigError("the tokenizer has neither a pad_token nor an eos_token; set one of them.")
    shape = (len(rows), max(map(len, rows)))
    ids, mask = np.full(shape, fillers[0]), np.zeros(shape, dtype=np.int64)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(shape[1] - len(row), shape[1])
        ids[i, place], mask[i, place] = row, 1
    return {"input_ids": ids, "attention_mask": mask}
