"""Which linear layers of a checkpoint hold weights of lower precision, and how that stands in config.json."""

import re
from typing import Any

from .vla_errors import ConfigError

# By the word for it: bits of one weight as it is stored.
QUANTIZED_KINDS = {"int8": 8, "fp8": 8, "int4": 4}


def check_weight_quantization(given: Any) -> None:
    """Refuse what is not `{"kind": "int4", "layers": {"int4": [patterns], "int8": [patterns]}}`.

    A pattern is the name of a layer, with `*` for a number in it.

    Raises:
        ConfigError: the message says what is wrong.
    """
    if given is None:
        return
    if not isinstance(given, dict) or set(given) != {"kind", "layers"} or not isinstance(given["layers"], dict):
        raise ConfigError(f"weight_quantization={given!r} must be a kind and the layers of each kind.")
    for kind in (given["kind"], *given["layers"]):
        if kind not in QUANTIZED_KINDS:
            kinds = ", ".join(QUANTIZED_KINDS)
            raise ConfigError(f"weight_quantization: {kind!r} is unknown here; weights are stored as {kinds}.")
    for kind, patterns in given["layers"].items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ConfigError(f"weight_quantization: the layers of {kind} must be a list of names.")


def pattern_of(name: str) -> str:
    """The name of a layer with `*` for each number in it."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


def describe_quantization(given: dict[str, Any]) -> str:
    """One sentence for cards and reports."""
    layers = "; ".join(f"{kind}: {', '.join(f'`{name}`' for name in names)}" for kind, names in given["layers"].items())
    return (
        f"The weights of linear layers are stored in lower precision ({given['kind']}) and multiplied in the dtype of "
        f"what they are given. {layers}. All else, policy heads and embeddings among it, is stored as it was."
    )
