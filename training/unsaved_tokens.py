"""Tokens for the Hub that are in a run's arguments, and not in what is written of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("hub_token", "push_to_hub_token")  # the second in transformers 4.57


class UnsavedToken(str):
    """A token as ever, of which a pickle keeps `None`.

    transformers writes training_args.bin, a pickle of all arguments, beside each checkpoint, and pushes it.
    """

    def __reduce_ex__(self, protocol: int) -> tuple[Any, ...]:
        return type(None), ()

    def __copy__(self) -> "UnsavedToken":
        return self

    def __deepcopy__(self, memo: dict) -> "UnsavedToken":
        return self


@contextmanager
def tokens_unsaved(args: Any) -> Iterator[None]:
    """Around what writes and pushes arguments, which reads their tokens as ever. args: `TrainingArguments`."""
    before = {name: token for name in NAMES if isinstance(token := getattr(args, name, None), str)}
    for name, token in before.items():
        setattr(args, name, UnsavedToken(token))
    try:
        yield
    finally:
        for name, token in before.items():
            setattr(args, name, token)
