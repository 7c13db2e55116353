"""The tokenizer that a VLM's own processor is given: prompts in which an instruction is text and nothing else."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from transformers import BatchEncoding

from ..prompts import END, MARK, padded, prompt_token_ids

PLACE = re.compile(f"{MARK}(\\d+){END}")


def place_of(index: int) -> str:
    """What stands in a prompt for the instruction of a sample while the VLM's processor puts its image tokens in."""
    return f"{MARK}{index}{END}"


class PromptParts(NamedTuple):
    """The prompt of one sample.

    Attributes:
        pieces: what stands before, between and behind its texts.
        texts: what a caller wrote: the instruction, and before it earlier turns.
        add_special_tokens: whether the tokenizer adds its begin and end tokens.
    """

    pieces: list[str]
    texts: list[str]
    add_special_tokens: bool


class PromptEncoding(BatchEncoding):
    """Ids and masks of whole prompts."""

    def char_to_token(self, *place: int) -> int:
        """Idefics 3 asks where the characters of each image token are, for token types that nobody reads."""
        return 0


class PromptTokenizer:
    """Has all that the tokenizer has, and is called by the VLM's processor when its prompts are whole.

    Args:
        tokenizer: the VLM's.
        prompts: of each sample; their texts take the places of `place_of`.
        padding_side: of shorter prompts, "right" or "left".
    """

    def __init__(self, tokenizer: Any, prompts: Sequence[PromptParts], padding_side: str):
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.side = padding_side

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def __call__(
        self, text: str | Sequence[str], add_special_tokens: bool = True, return_tensors: str | None = None, **_: Any
    ) -> "PromptEncoding":
        """`input_ids` and `attention_mask` of whole prompts, padded; further options of a processor are not read."""
        prompts = [text] if isinstance(text, str) else text
        rows = padded([self.ids(prompt, add_special_tokens) for prompt in prompts], self.tokenizer, self.side)
        return PromptEncoding({name: value.tolist() for name, value in rows.items()}, tensor_type=return_tensors)

    def ids(self, prompt: str, add_special_tokens: bool) -> list[int]:
        """Of one prompt, with the texts whose places it has; of what else a processor asks for, as it stands."""
        first, *others = PLACE.split(prompt)  # text, index, text, index, ...
        if not others:
            return prompt_token_ids(self.tokenizer, [first], "", (), add_special_tokens)
        parts = self.prompts[int(others[0])]
        add = parts.add_special_tokens and add_special_tokens
        return prompt_token_ids(self.tokenizer, [first, *others[1::2]], parts.texts, (), add)
