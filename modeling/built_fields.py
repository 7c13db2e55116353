"""Fields of a config that a model has read when it was made: a value that they get later is saved, and not followed."""

import reprlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from ..configuration.known_fields import OF_TRANSFORMERS, KnownFieldsConfig, own_arguments
from ..configuration.vla_errors import ConfigError

# Of nested configs what models of transformers ask anew, and a vocabulary, which may be resized.
ASKED_ANEW = (OF_TRANSFORMERS | {"vocab_size"}) - {"add_cross_attention", "is_decoder", "tie_word_embeddings"}


@cache
def built_names(kind: type[PretrainedConfig]) -> tuple[str, ...]:
    """The fields of a family that no built model follows, by its own words; what follows from others is not among
    them."""
    words = own_arguments(kind) | {"weight_quantization"}
    own = {kind.attribute_map.get(word, word) for word in words}
    changeable = {kind.attribute_map.get(word, word) for word in kind.changeable_fields}
    return tuple(sorted(name for name in own - changeable if not isinstance(getattr(kind, name, None), property)))


def built_fields(config: PretrainedConfig) -> dict[str, Any]:
    """Those of `built_names` with their values, of which nothing is kept by reference."""
    return {name: plain(getattr(config, name)) for name in built_names(type(config)) if hasattr(config, name)}


def plain(value: Any) -> Any:
    """A copy in dicts and lists, of a nested config without what is asked anew."""
    if isinstance(value, PretrainedConfig):
        fields = {name: each for name, each in vars(value).items() if name[0] != "_" and name not in ASKED_ANEW}
        return plain(fields)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def check_as_built(model: nn.Module, nested: bool = False) -> None:
    """Refuse a config whose fields have been changed since the model was made of it, where it cannot follow.

    Args:
        model: one that has no `as_built` passes: a part, or another's.
        nested: look at nested configs of transformers' models, too, which have many fields and take longer.

    Raises:
        ConfigError: the message names the field and both values.
    """
    before, config = getattr(model, "as_built", None), getattr(model, "config", None)
    if before is None or not isinstance(config, PretrainedConfig):
        return
    looked_at = {name: getattr(config, name, None) for name in before}
    if not nested:
        looked_at = {name: value for name, value in looked_at.items() if is_plain_or_ours(value)}
    for name, value in looked_at.items():
        for path, old, new in differences(before[name], plain(value), name):
            if path not in config.changeable_fields:
                raise ConfigError(
                    f"{path}={reprlib.repr(new)} in the config of this model, which was made with {reprlib.repr(old)} "
                    "and cannot follow: set it back; a model with another value is made by from_pretrained(..., "
                    "config=config), of a config in which it was changed before."
                )


def is_plain_or_ours(value: Any) -> bool:
    """Whether a field is no config, or one of this package."""
    return not isinstance(value, PretrainedConfig) or isinstance(value, KnownFieldsConfig)


def differences(before: Any, now: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """`(path, before, now)` of what differs, by paths such as `text_config.rms_norm_eps`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys(), key=str):
            yield from differences(before.get(name), now.get(name), f"{path}.{name}")
    elif before != now:
        yield path, before, now
