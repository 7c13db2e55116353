"""Configs of the language models that the families build on, readable on both lines of transformers."""

import copy
import math
from collections.abc import Mapping
from typing import Any

from transformers import LlamaConfig, MistralConfig, PretrainedConfig

from .rope_settings import readable_rope
from .vla_errors import ConfigError

MAX_COUNT = 2**20  # of anything that a config counts
TOO_LARGE = "is larger than any model can use; at most {} is accepted."
MAX_STEPS = 10_000  # of a denoising loop; published models take 4 to 1,000
TOKEN_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")
LANGUAGE_MODELS = {"llama": LlamaConfig, "mistral": MistralConfig}


def as_language_model_config(value: PretrainedConfig | dict | None) -> PretrainedConfig:
    """A `LlamaConfig` or `MistralConfig` from what a caller gives or from a config.json of transformers 4.x or 5.x.

    `head_dim` is always explicit.

    Raises:
        ConfigError: the model type is another, or its heads do not fit together.
    """
    given = isinstance(value, PretrainedConfig)
    fields = {} if given else copy.deepcopy(dict(value or {}))
    model_type = value.model_type if given else fields.pop("model_type", "llama")
    if model_type not in LANGUAGE_MODELS:
        raise ConfigError(f"text_config.model_type is {model_type!r}; supported are {', '.join(LANGUAGE_MODELS)}.")
    config = copy.deepcopy(value) if given else LANGUAGE_MODELS[model_type](**readable_rope(fields))
    if config.head_dim is None:  # older Mistral configs
        config.head_dim = config.hidden_size // config.num_attention_heads
    if config.num_attention_heads % config.num_key_value_heads:
        raise ConfigError(
            f"num_key_value_heads={config.num_key_value_heads} of the language model must divide num_attention_heads="
            f"{config.num_attention_heads}."
        )
    return config


def with_token_ids(fields: dict[str, Any], text_config: PretrainedConfig, tied: bool) -> dict[str, Any]:
    """A copy of fields of a model's config in which special tokens and tying are the language model's by default."""
    ids = {name: getattr(text_config, name, None) for name in TOKEN_IDS}  # not every language model has each
    return {**ids, "tie_word_embeddings": tied, **copy.deepcopy(fields)}


def as_expert_config(
    text_config: PretrainedConfig,
    value: PretrainedConfig | dict | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    mlp_ratio: float | None = None,
) -> PretrainedConfig:
    """The expert's stack: the base's config with another width (default half), depth and MLP, and no vocabulary.

    Raises:
        ConfigError: the width does not fit the heads, or the model type is another.
    """
    if isinstance(value, PretrainedConfig):
        return copy.deepcopy(value)
    fields: dict[str, Any] = text_config.to_dict()
    unit = math.lcm(2, text_config.num_attention_heads)  # what 5.x lets a width be, and pairs of sine and cosine
    half = max(1, text_config.hidden_size // 2 // unit) * unit
    hidden_size = hidden_size or (value or {}).get("hidden_size") or half
    if hidden_size % unit:
        raise ConfigError(
            f"hidden_size={hidden_size} of the expert must be even and a multiple of its "
            f"{text_config.num_attention_heads} attention heads."
        )
    ratio = mlp_ratio or text_config.intermediate_size / text_config.hidden_size
    fields.update(
        hidden_size=hidden_size,
        intermediate_size=int(hidden_size * ratio),
        num_hidden_layers=num_layers or text_config.num_hidden_layers,
        head_dim=text_config.head_dim,
        vocab_size=1,
        tie_word_embeddings=False,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "architectures")),
    )
    fields.update(value or {})
    fields.setdefault("model_type", text_config.model_type)
    if fields["model_type"] not in LANGUAGE_MODELS:
        raise ConfigError(f"expert_config.model_type is {fields['model_type']!r}; it must be that of text_config.")
    return as_language_model_config(fields)


def check_positive(field: str, value: Any, largest: int = MAX_COUNT) -> None:
    """Raises ConfigError unless `value` is a whole number from 1 to `largest`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{field}={value!r} must be a positive whole number.")
    if value > largest:
        raise ConfigError(f"{field}={value} {TOO_LARGE.format(largest)}")


def check_sizes(fields: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse numbers of layers, labels and their like that no memory has room for, in nested configs, too: before
    transformers makes a list with an entry for each.

    prefix: of the names in the message.

    Raises:
        ConfigError: one is larger than `MAX_COUNT`.
    """
    for name, value in fields.items():
        if isinstance(value, Mapping):
            check_sizes(value, f"{prefix}{name}.")
        elif is_size(name) and isinstance(value, (int, float)) and value > MAX_COUNT:
            raise ConfigError(f"{prefix}{name}={value!r:.40} {TOO_LARGE.format(MAX_COUNT)}")


def is_size(name: Any) -> bool:
    """Whether a field of this name counts something that a model or its config has, each for itself."""
    if not isinstance(name, str):  # {0: "a label"}
        return False
    return name.startswith(("num_", "n_")) or name.endswith(("_size", "_layers", "_depth")) or name == "depth"


def check_counts(config: PretrainedConfig, *fields: str) -> None:
    """Raises ConfigError unless these fields of a config are positive whole numbers."""
    for field in fields:
        check_positive(field, getattr(config, field))


def check_choices(config: PretrainedConfig, choices: dict[str, tuple]) -> None:
    """Raises ConfigError where a field has none of the values that `choices` lists for it."""
    for field, known in choices.items():
        if getattr(config, field) not in known:
            raise ConfigError(
                f"{field}={getattr(config, field)!r} is unknown; choose from {', '.join(map(str, known))}."
            )
