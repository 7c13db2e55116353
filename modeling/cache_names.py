"""What transformers calls a cache of keys and values: `past_key_values`, and `cache` from 5.24 on.

The old name warns there and is gone in 5.40. A model of ours takes both names and hands on the one that is known to
what it calls; what it returns answers to both.
"""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from transformers import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, ModelOutput

from ..configuration.vla_errors import InputError

CACHE_NAMES = ("cache", "past_key_values")
OUTPUT_NAME = next(name for name in CACHE_NAMES if name in {field.name for field in fields(BaseModelOutputWithPast)})


def cache_argument(function: Callable) -> str:
    """The name under which a function of transformers takes a cache; decorators and hooks around it do not matter."""
    known = inspect.signature(function).parameters
    return next((name for name in CACHE_NAMES if name in known), OUTPUT_NAME)


def one_cache(cache: Cache | None, past_key_values: Cache | None) -> Cache | None:
    """The cache that came under one of its two names.

    Raises:
        InputError: two different ones came.
    """
    if cache is not None and past_key_values is not None and cache is not past_key_values:
        raise InputError("cache and past_key_values are two names of one argument; pass one of them.")
    return past_key_values if cache is None else cache


class OutputWithCache(ModelOutput):
    """Base of outputs that hold a cache: a dataclass has a field of the name `OUTPUT_NAME`, and both can be read."""

    @property
    def cache(self) -> Cache | None:
        return self.past_key_values

    @property
    def past_key_values(self) -> Cache | None:
        return self.cache

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(OUTPUT_NAME if key in CACHE_NAMES else key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(OUTPUT_NAME if key in CACHE_NAMES else key)

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(OUTPUT_NAME if key in CACHE_NAMES else key, default)
