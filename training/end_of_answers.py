"""Where a model that learns to write text stops: `generate` has to know the token that ends what it is taught."""

from collections.abc import Sequence
from typing import Any


def end_tokens(eos_token_id: int | Sequence[int] | None) -> list[int]:
    """The ids of an `eos_token_id` of transformers, which is one, several or none."""
    if eos_token_id is None:
        return []
    return [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id)


def stop_at_the_end_of_answers(model: Any, collator: Any) -> None:
    """Put the token that a collator puts behind answers among those at which the model's `generate` stops.

    The tokenizer's may be another one than that of the language model's files, as the end of a turn and the end of a
    text are; without this the model would write on behind an answer.
    """
    taught = collator.end_of_text if getattr(collator, "learn_text", False) and hasattr(collator, "end_of_text") else []
    if not taught:
        return
    settings = model.generation_config
    known = end_tokens(settings.eos_token_id)
    if not set(taught) <= set(known):
        settings.eos_token_id = [*known, *taught]
