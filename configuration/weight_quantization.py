"""Which linear layers of a checkpoint hold weights of lower precision, and how that stands in config.json."""

import re
from typing import Any

from .vla_errors import ConfigError

# By the word for it: bits of one weight as it is stored.
QUANTIZED_KINDS = {"int8": 8, "fp8": 8, "int4": 4}
GROUP_SIZES = (128, 64, 32, 16)  # of input features that share a scale and a zero point in 4 bits


def check_weight_quantization(given: Any) -> None:
    """Refuse what is not `{"kind": "int4", "layers": {"int4": [patterns], "int8": [patterns]}}`.

    A pattern is the name of a layer, with `*` for a number in it. `"bytes": {"stored": ..., "whole": ...}`, of all
    weights and of what they were made from, may be there, for cards.

    Raises:
        ConfigError: the message says what is wrong.
    """
    if given is None:
        return
    names = {"kind", "layers"}
    if not isinstance(given, dict) or set(given) - {"bytes"} != names or not isinstance(given["layers"], dict):
        raise ConfigError(f"weight_quantization={given!r} must be a kind and the layers of each kind.")
    if "bytes" in given and not is_sizes(given["bytes"]):
        raise ConfigError(f"weight_quantization: bytes={given['bytes']!r} must be numbers of bytes, stored and whole.")
    for kind in (given["kind"], *given["layers"]):
        if kind not in QUANTIZED_KINDS:
            kinds = ", ".join(QUANTIZED_KINDS)
            raise ConfigError(f"weight_quantization: {kind!r} is unknown here; weights are stored as {kinds}.")
    for kind, patterns in given["layers"].items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ConfigError(f"weight_quantization: the layers of {kind} must be a list of names.")


def is_sizes(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and set(given) == {"stored", "whole"}
        and all(isinstance(size, int) and size > 0 for size in given.values())
    )


def pattern_of(name: str) -> str:
    """The name of a layer with `*` for each number in it."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def group_size_of(kind: str, in_features: int) -> int | None:
    """Input features of a row that share a scale: all of them in 8 bits; in 4 the largest of `GROUP_SIZES` that divides
    them, `None` where none does."""
    if kind != "int4":
        return in_features
    return next((size for size in GROUP_SIZES if in_features % size == 0), None)
