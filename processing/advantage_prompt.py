"""A word in the prompt that says how good what follows shall be, as trained on what it was (RECAP, arXiv 2511.14759).

A policy that learnt good and bad actions, each under its word ("Advantage: positive"), is asked for good ones by the
word. Without a word the prompt is what it is for a model that knows none.
"""

from collections.abc import Sequence

from ..configuration.vla_errors import ConfigError, InputError
from .sample_inputs import checked_texts

ADVANTAGE_TEMPLATE = "{instruction}\nAdvantage: {advantage}"
PLACES = ("{instruction}", "{advantage}")


def checked_template(template: str) -> str:
    """Raises ConfigError unless a template has a place for the instruction and one for the word."""
    missing = [place for place in PLACES if place not in template]
    if missing:
        raise ConfigError(f"advantage_template={template!r} has no {missing[0]!r} in it.")
    return template


def advantages_of(advantage: str | Sequence[str | None] | None, batch_size: int) -> list[str | None]:
    """The word of each sample: one for all, or a list of one each, `None` where a prompt has none.

    Raises:
        InputError: it is no text, an empty one, or the list has another length than the batch.
    """
    if advantage is None or isinstance(advantage, str):
        words: Sequence[str | None] = [advantage] * batch_size
    elif isinstance(advantage, (list, tuple)):
        words = advantage
    else:
        raise InputError(f"advantage is a {type(advantage).__name__}; a word, or a list with one for each sample.")
    if len(words) != batch_size:
        raise InputError(f"advantage has {len(words)} entries, the batch {batch_size} samples; they must be as many.")
    for word in words:
        if word is not None and not checked_texts(word, "advantage")[0].strip():
            raise InputError("advantage is an empty text; leave it out where the prompt shall have none.")
    return list(words)


def with_advantage(template: str, instruction: str, advantage: str | None) -> str:
    """The instruction with the word, as the template says; without a word itself."""
    if advantage is None:
        return instruction
    pieces = [piece.replace("{advantage}", advantage) for piece in template.split("{instruction}")]
    return instruction.join(pieces)
