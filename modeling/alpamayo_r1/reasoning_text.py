"""The parts of what Alpamayo-R1 writes: reasoning (`cot`), meta action and answer, between markers of their own."""

import re
from collections.abc import Sequence

PARTS = ("cot", "meta_action", "answer")


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
    return extract_part(text, "cot") or re.split(r"<\|\w+\|>", text, maxsplit=1)[0].strip()
