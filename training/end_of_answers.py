"""Where a model that learns to write text stops: `generate` has to know the token that ends what it is taught."""

from typing import Any

from ..modeling.generation_settings import stop_also_at


def stop_at_the_end_of_answers(model: Any, collator: Any) -> None:
    """Put the token that a collator puts behind answers among those at which the model's `generate` stops.

    The tokenizer's may be another one than that of the language model's files, as the end of a turn and the end of a
    text are; without this the model would write on behind an answer.
    """
    if getattr(collator, "learn_text", False) and hasattr(collator, "end_of_text"):
        stop_also_at(model.generation_config, collator.end_of_text)
