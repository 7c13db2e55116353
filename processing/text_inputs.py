"""Instructions as a caller gives them, checked."""

from collections.abc import Sequence
from typing import Any

from ..configuration.vla_errors import InputError

TENSORS = ("pt", "np", None)


def is_text(value: Any) -> bool:
    """Whether it is a string, or a list of strings that is not empty."""
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(isinstance(entry, str) for entry in value)
    return isinstance(value, str)


def checked_texts(text: Any, name: str = "text") -> list[str]:
    """One string or a list of strings -> the list.

    Raises:
        InputError: it is neither, the list is empty, or a string holds half of a surrogate pair, which is no character.
    """
    if not is_text(text):
        raise InputError(f"{name} is {shown(text)}; a string, or for a batch a list of strings, is needed.")
    texts = [text] if isinstance(text, str) else list(text)
    for i, entry in enumerate(texts):
        try:
            entry.encode("utf-8")
        except UnicodeEncodeError as error:
            where = name if isinstance(text, str) else f"{name}[{i}]"
            raise InputError(
                f"{where} holds {entry[error.start]!a} at place {error.start}, half of a character (a lone surrogate): "
                "decode the text anew, or leave it out."
            ) from error
    return texts


def check_return_tensors(return_tensors: str | None) -> None:
    """Refuse other kinds of tensors than torch's and numpy's."""
    if return_tensors not in TENSORS:
        raise InputError(f"return_tensors={return_tensors!r} is unknown; choose from 'pt' (torch) and 'np' (numpy).")


def shown(value: Any) -> str:
    """A value for a message: its type, and itself where that is short."""
    text = repr(value) if value is None or isinstance(value, (bool, int, float, str, Sequence)) else ""
    kind = type(value).__name__
    return "None" if value is None else f"a {kind} ({text})" if 0 < len(text) <= 80 else f"a {kind}"
