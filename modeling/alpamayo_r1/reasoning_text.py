"""What Alpamayo-R1 writes: reasoning (`cot`), meta action and answer, between markers; and the tokenizer to read it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from ..adapter_loading import MISSING_IS_NONE, hub_arguments

PARTS = ("cot", "meta_action", "answer")


def load_tokenizer(name_or_path: Any, kwargs: dict[str, Any]) -> PreTrainedTokenizerFast | None:
    """That of a model's checkpoint, `None` where it has none. kwargs: those of the model's `from_pretrained`."""
    given = hub_arguments(kwargs)
    if name_or_path is None or cached_file(name_or_path, "tokenizer_config.json", **given, **MISSING_IS_NONE) is None:
        return None
    return PreTrainedTokenizerFast.from_pretrained(name_or_path, **given)  # the class that our processors write


def extract_part(text: str, part: str) -> str:
    """What stands between `<|part_start|>` and `<|part_end|>`, without markers; empty where there is no such end.

    The start may be missing: the prompt ends with that of the reasoning. Upstream: token_utils.py,
    `extract_between_special_tokens`.
    """
    before, end, _ = text.partition(f"<|{part}_end|>")
    if not end:
        return ""
    return before.rpartition(f"<|{part}_start|>")[2].strip()


def split_text(texts: Sequence[str]) -> dict[str, list[str]]:
    """`{"cot": [...], "meta_action": [...], "answer": [...]}`, one entry for each text."""
    return {part: [extract_part(text, part) for text in texts] for part in PARTS}


def reasoning_of(text: str) -> str:
    """The reasoning, also where it was not ended properly: then all of the text up to the first marker."""
    return extract_part(text, "cot") or unmarked(text)


def unmarked(text: str) -> str:
    """All of a text up to the first marker."""
    return re.split(r"<\|\w+\|>", text, maxsplit=1)[0].strip()


def parts_of_texts(token_ids: torch.LongTensor, shape: tuple[int, ...], tokenizer: Any) -> dict[str, np.ndarray]:
    """Tokens (rows, length) as `{"cot": texts, "meta_action": ..., "answer": ...}`, arrays of the shape."""
    texts = split_text(tokenizer.batch_decode(token_ids, skip_special_tokens=False))
    return {part: np.array(found, dtype=object).reshape(shape) for part, found in texts.items()}
