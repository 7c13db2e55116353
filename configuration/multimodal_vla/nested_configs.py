"""The configs inside of a composed VLA's config: read from what a caller or a file has, and written whole."""

import copy
from collections.abc import Mapping
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, LlamaConfig, PretrainedConfig

from ..language_model_config import as_language_model_config
from ..rope_settings import check_scaled_layers, readable_rope
from ..transformers_release import IS_4
from ..vla_errors import ConfigError
from .vlm_facts import OLDER_NAMES


def whole(config: PretrainedConfig) -> dict[str, Any]:
    """All fields, without what differs between lines or says how the weights were once loaded."""
    fields = without_mark(config.to_dict())
    for name in ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "quantization_config"):
        fields.pop(name, None)
    parts = [(config, fields)]
    if isinstance(fields.get("text_config"), dict):
        parts.append((config.text_config, fields["text_config"]))
    for part, found in parts:
        for older, newer in OLDER_NAMES.get(kind_of(part), {}).items():
            found[older] = getattr(part, older, getattr(part, newer, None))
    return fields


def without_mark(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the dtype that 4.57 puts into all configs of a quantised model, and cannot write in nested ones."""
    kept = {name: value for name, value in fields.items() if name != "_pre_quantization_dtype"}
    return {name: without_mark(value) if isinstance(value, dict) else value for name, value in kept.items()}


def ties_words(vlm_config: PretrainedConfig) -> bool:
    """Whether a VLM's head is its embeddings, as the running line of transformers decides it."""
    asks_text = IS_4 or not hasattr(vlm_config, "tie_word_embeddings")
    return (vlm_config.get_text_config(decoder=True) if asks_text else vlm_config).tie_word_embeddings


def kind_of(config: PretrainedConfig) -> str:
    """The model type of a config's class; 4.57.1 answers for a Qwen-VL's with that of its language model."""
    return type(config).model_type


def as_any_config(field: str, value: PretrainedConfig | dict | None) -> PretrainedConfig | None:
    """A config of whatever class its `model_type` names, as the running line of transformers reads it.

    Raises:
        ConfigError: the model type is missing or not one of transformers', or see `readable_rope` and
            `check_scaled_layers`.
    """
    if value is None:
        return None
    if isinstance(value, PretrainedConfig):
        return copy.deepcopy(check_scaled_layers(value))
    if not isinstance(value, Mapping):
        raise ConfigError(f"{field} must be a config or a dict of its fields, not {value!r}.")
    model_type = value.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise ConfigError(f"{field}.model_type is {model_type!r}, which transformers does not know.")
    return check_scaled_layers(AutoConfig.for_model(**readable_rope(copy.deepcopy(dict(value)))))


def as_flow_config(value: LlamaConfig | dict | None, hidden_size: int) -> LlamaConfig:
    """The stack of the flow head: eight heads and six layers at about half the language model's width."""
    if isinstance(value, LlamaConfig):
        return copy.deepcopy(value)
    kind = value.model_type if isinstance(value, PretrainedConfig) else (value or {}).get("model_type", "llama")
    if kind != "llama":
        raise ConfigError(f"expert_config.model_type is {kind!r}; the stack of the flow head is a 'llama'.")
    heads = 8
    width = max(8, hidden_size // (2 * heads) // 8 * 8) * heads
    fields = {
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": 6,
        "vocab_size": 1,
        **dict.fromkeys(("bos_token_id", "eos_token_id")),
        **(value or {}),
    }
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    if fields["hidden_size"] % (2 * fields["num_attention_heads"]):
        raise ConfigError(
            f"expert_config.hidden_size={fields['hidden_size']} must be a multiple of twice num_attention_heads="
            f"{fields['num_attention_heads']}."
        )
    fields.setdefault("intermediate_size", 4 * fields["hidden_size"])
    fields.setdefault("head_dim", fields["hidden_size"] // fields["num_attention_heads"])
    return as_language_model_config({**fields, "model_type": "llama"})
