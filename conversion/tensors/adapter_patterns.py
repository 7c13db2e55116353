"""adapter_config.json before PEFT sees it: fields of the wrong kind or size, and patterns that would match for ever.

PEFT takes the keys of `rank_pattern` and `alpha_pattern`, and some other fields, for regular expressions of Python's
`re`. Some of those need longer than the age of the world for a name of a hundred letters, and `re` knows no limit.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ...configuration.vla_errors import ConversionError

MAX_RANK = 2**16
MAX_NUMBER = 1e300  # what a float can hold; not a number is not below it
MAX_PATTERN = 2**16  # letters
SECONDS = 10
# As PEFT asks: of a rank or an alpha pattern (`get_pattern_key`), and of text in target_modules.
KEY_FORM, WHOLE_FORM = "(.*\\.)?({})$", "(?:{})\\Z"
PLAIN = re.compile(r"[\w.^$\\-]*")  # nothing repeats or branches, so that nothing can explode
MATCH = "import json, re, sys; a, b = json.load(sys.stdin); [re.match(x, y) for x in a for y in b]"


def check_adapter_config(path: Path, written: Any) -> None:
    """Refuse what is not an adapter config by its fields.

    Raises:
        ConversionError: a field has another type than PEFT gives it, or cannot be; the message names it.
    """
    if not isinstance(written, dict):
        raise ConversionError(f"{path} holds a {type(written).__name__}; a mapping is needed.")
    for name, (fits, wanted) in FIELDS.items():
        if name in written and not fits(written[name]):
            raise ConversionError(f"{path}: {name}={shown(written[name])} is not usable; it has to be {wanted}.")
    for pattern in patterns_of(written):
        try:
            if len(pattern) > MAX_PATTERN:
                raise ConversionError(f"{path}: the pattern {shown(pattern)} is longer than {MAX_PATTERN} letters.")
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConversionError(f"{path}: {shown(pattern)} is no regular expression: {error}") from error


def check_matching(config: Any, modules: Collection[str]) -> None:
    """See that every pattern of an adapter can be matched against the modules that it adapts, within some seconds.

    A process of its own does it once, as a match that has begun cannot be ended otherwise.

    Args:
        config: of the adapter, as PEFT's `LoraConfig`.
        modules: names of the layers that it has tensors for.

    Raises:
        ConversionError: it did not end.
    """
    found = {**vars(config), "target_modules": config.target_modules}
    risky = [pattern for pattern in patterns_of(found) if not PLAIN.fullmatch(pattern)]
    if not risky or not modules:
        return
    forms = [form.format(pattern) for pattern in risky for form in (KEY_FORM, WHOLE_FORM)]
    command = [sys.executable, "-I", "-S", "-c", MATCH]
    try:
        subprocess.run(
            command, input=json.dumps([forms, sorted(modules)], allow_nan=False).encode(), timeout=SECONDS, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"adapter_config.json: matching the patterns {', '.join(map(shown, risky))} against the names of the "
            f"adapter's layers does not end within {SECONDS} seconds: write them without repetitions in repetitions."
        ) from error


def patterns_of(written: dict[str, Any]) -> list[str]:
    """Everything that PEFT takes for a regular expression."""
    found = [*(written.get("rank_pattern") or {}), *(written.get("alpha_pattern") or {})]
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        value = written.get(name)
        found += [value] if isinstance(value, str) else []
    return found


def shown(value: Any) -> str:
    """A value in an error message, whatever its length."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_RANK


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MAX_NUMBER


def is_index(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_names(value: Any) -> bool:
    return is_text(value) or is_list(is_text)(value)


def is_list(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def is_mapping(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def optional(*kinds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or any(fits(value) for fits in kinds)


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


FLAG = (optional(is_flag), "true or false")
NAMES = (optional(is_names), "text or a list of texts")
FIELDS = {
    "r": (is_rank, f"a whole number from 1 to {MAX_RANK}"),
    "lora_alpha": (is_number, "a finite number"),
    "lora_dropout": (lambda value: is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "rank_pattern": (optional(is_mapping(is_rank)), f"a mapping of patterns to whole numbers from 1 to {MAX_RANK}"),
    "alpha_pattern": (optional(is_mapping(is_number)), "a mapping of patterns to finite numbers"),
    "target_modules": NAMES,
    "exclude_modules": NAMES,
    "modules_to_save": (optional(is_list(is_text)), "a list of texts"),
    "layers_pattern": NAMES,
    "layers_to_transform": (optional(is_index, is_list(is_index)), "a whole number or a list of them"),
    "trainable_token_indices": (
        optional(is_list(is_index), is_mapping(is_list(is_index))),
        "a list of token ids, or a mapping of layers to such lists",
    ),
    "bias": (lambda value: value in ("none", "all", "lora_only"), "none, all or lora_only"),
    "peft_type": (optional(is_text), "text"),
    "init_lora_weights": (optional(is_flag, is_text), "true, false or text"),
    **dict.fromkeys(("fan_in_fan_out", "use_rslora", "use_dora", "lora_bias", "inference_mode"), FLAG),
}
