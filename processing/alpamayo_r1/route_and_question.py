"""Navigation and questions in the prompts of Alpamayo 1.5: texts between markers of their own.

Published form: NVlabs/alpamayo1.5, helper.py (`create_message`, `create_vqa_message`).
"""

import re
from collections.abc import Sequence
from typing import Any

from ...configuration.alpamayo_r1.trajectory_vocabulary import SPECIAL_TOKENS
from ...configuration.vla_errors import InputError
from ..sample_inputs import checked_texts

ROUTE = SPECIAL_TOKENS["route_start"], SPECIAL_TOKENS["route_end"]
QUESTION = SPECIAL_TOKENS["question_start"], SPECIAL_TOKENS["question_end"]
ANSWER_START = SPECIAL_TOKENS["answer_start"]
MARKER = re.compile(r"<\|\w+\|>|<i\d+>")


def navigations_of(nav_text: str | Sequence[str | None] | None, batch_size: int, tokenizer: Any) -> list[str | None]:
    """The navigation of each sample: one for all, or a list of one each, `None` where a prompt has none.

    Raises:
        InputError: it is no text, holds a marker, is not as many as the samples, or the model has no tokens for it.
    """
    if nav_text is None or isinstance(nav_text, str):
        texts: Sequence[str | None] = [nav_text] * batch_size
    elif isinstance(nav_text, (list, tuple)):
        texts = nav_text
    else:
        raise InputError(f"nav_text is a {type(nav_text).__name__}; a text, or a list with one for each sample.")
    if len(texts) != batch_size:
        raise InputError(f"nav_text has {len(texts)} entries, the batch {batch_size} samples; they must be as many.")
    for text in texts:
        if text is not None:
            check_plain("nav_text", text, tokenizer, ROUTE)
    return list(texts)


def reads_routes(tokenizer: Any) -> bool:
    """Whether a model was trained with navigation: its tokenizer has the tokens around it."""
    return set(ROUTE) <= set(tokenizer.get_added_vocab())


def questions_of(question: Any, tokenizer: Any) -> list[str]:
    """One question for each sample. Raises InputError as `navigations_of` does."""
    texts = checked_texts(question, "question")
    for text in texts:
        check_plain("question", text, tokenizer, (*QUESTION, ANSWER_START))
    return texts


def check_plain(name: str, text: Any, tokenizer: Any, markers: Sequence[str]) -> None:
    """Refuse what is no text, a text with markers, and a tokenizer without those that stand around it."""
    checked_texts(text, name)
    if not isinstance(text, str):
        raise InputError(f"{name} holds {text!r:.80}; texts are needed.")
    added = tokenizer.get_added_vocab()
    found = MARKER.search(text)
    marker = found[0] if found else next((token for token in added if token.strip() and token in text), None)
    if marker is not None:
        raise InputError(f"{name} holds the marker {marker!r}, which would begin or end a part; give the text alone.")
    if missing := [token for token in markers if token not in added]:
        raise InputError(f"{name}: this model has no token {missing[0]!r}, so it was not trained with such prompts.")


def check_request(text: str) -> None:
    """Refuse a request that is a whole prompt of the later release, whose parts would be read as text."""
    for name, marker in (("nav_text", ROUTE[0]), ("question", QUESTION[0])):
        if "<|im_start|>user" in text and marker in text:
            raise InputError(f"text is a whole prompt with {marker!r}: give the request, and {name} by itself.")


def check_alone(given: dict[str, Any]) -> None:
    """Refuse what a prompt with a question has no place for; given: arguments by name."""
    if beside := [name for name, value in given.items() if value is not None]:
        raise InputError(f"{beside[0]} was given beside question: a question stands alone with its images.")
