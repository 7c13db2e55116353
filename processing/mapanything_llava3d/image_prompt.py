"""Prompts in which image tokens stand where the text has one, once for all views or once for each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import AddedToken

from ...configuration.vla_errors import InputError
from ..prompts import joined, prompt_token_ids


def add_image_token(tokenizer: Any, token: str) -> None:
    """Make the image token one that the tokenizer never splits, if it is not."""
    if token not in tokenizer.get_added_vocab():
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=True)], special_tokens=True)


def image_prompt_ids(
    tokenizer: Any,
    pieces: Sequence[str],
    instruction: str | Sequence[str],
    image_token: str,
    tokens_per_view: int,
    views: int,
    add_special_tokens: bool = True,
) -> list[int]:
    """The token ids of one prompt, in which `tokens_per_view` image tokens stand for each view.

    The instruction (of a chat, its texts) between the pieces of a template is the prompt: it holds the image token once
    for all views, or once for each view; without any, the images come first. Other added tokens of it are text.
    Raises InputError for another number of image tokens and for one that the tokenizer does not recognise.
    """
    prompt = joined(pieces, instruction)
    if image_token not in prompt:
        pieces = [f"{image_token} {pieces[0]}", *pieces[1:]]
        prompt = joined(pieces, instruction)
    count = prompt.count(image_token)
    if count not in (1, views):
        raise InputError(
            f"the text holds {count} image tokens, the sample {views} views: write {image_token!r} once, or once for "
            "each view."
        )
    ids = prompt_token_ids(tokenizer, pieces, instruction, [image_token], add_special_tokens)
    image_id = tokenizer.convert_tokens_to_ids(image_token)
    if ids.count(image_id) != count:
        raise InputError(
            f"the tokenizer sees {ids.count(image_id)} of {count} image tokens in {prompt!r}: put spaces around them."
        )
    repeats = tokens_per_view * views // count
    return np.repeat(ids, [repeats if i == image_id else 1 for i in ids]).tolist()
