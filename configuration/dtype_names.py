"""Names of torch's dtypes, as `dtype="bfloat16"`."""

import difflib
from collections.abc import Mapping
from typing import Any

import torch

from .vla_errors import ConfigError

SHORT = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "f16": "float16", "f32": "float32"}
USUAL = ("bfloat16", "float16", "float32")


def check_dtype(argument: str, value: Any) -> None:
    """Refuse a text that names no floating dtype, as `from_pretrained` takes them, and one for each part, which
    transformers takes and which no model here would follow.

    Raises:
        ConfigError: the message names the argument and the dtype that was probably meant.
    """
    if isinstance(value, Mapping):
        raise ConfigError(
            f"{argument}={value!r} names parts; a model is loaded in one dtype: give it, and call .to(another) on "
            "a part."
        )
    if not isinstance(value, str) or value == "auto":
        return
    found = getattr(torch, value.removeprefix("torch."), None)
    if isinstance(found, torch.dtype) and found.is_floating_point and "float8" not in value:
        return
    meant = SHORT.get(value.lower()) or next(iter(difflib.get_close_matches(value.lower(), USUAL, 1)), None)
    if isinstance(found, torch.dtype) or "8" in value or "4" in value:
        advice = "models are loaded in 'bfloat16', 'float16' or 'float32'; lower precision is a quantization_config"
    else:
        advice = f"write {meant!r}" if meant else f"choose from {', '.join(map(repr, USUAL))}"
    raise ConfigError(f"{argument}={value!r} is no dtype that a model can be loaded in; {advice}.")
