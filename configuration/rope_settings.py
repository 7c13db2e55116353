"""Rotary settings that both lines of transformers read.

5.x writes `rope_parameters`, with one entry for each kind of layer where these differ; 4.57 reads fields of other names
and ignores it. Without this a base frequency, a scaling, or a share of dimensions that rotate, other than the default
would be lost silently between the two.
"""

from collections.abc import Mapping
from typing import Any

import transformers
from transformers import PretrainedConfig

from .transformers_release import IS_4, RELEASE
from .vla_errors import ConfigError

OWN_FIELDS = ("rope_theta", "partial_rotary_factor")  # of 4.57
OTHER_NAMES = dict.fromkeys(("gpt_neox", "gpt_neox_japanese"), ("rotary_emb_base", "rotary_pct"))  # of these fields
WANTS_A_TYPE = ("mllama_text_model",)  # that cannot be built on 4.57 without one
# 4.57's fields for the base frequencies of full and of sliding attention.
FREQUENCIES = {
    "gemma3_text": ("rope_theta", "rope_local_base_freq"),
    "gemma3n_text": ("rope_theta", "rope_local_base_freq"),
    "modernbert-decoder": ("global_rope_theta", "local_rope_theta"),
    "olmo3": ("rope_theta", "rope_theta"),
}
ONE_FREQUENCY = ("modernbert-decoder", "olmo3")  # in 4.57's layers of either kind, that of full attention
DEFAULT = {"rope_type": "default"}
READS_PARAMETERS = not IS_4
OLMO3_HAS_ONE = (5, 0) <= RELEASE < (5, 13)  # setting for its layers of either kind; entries for each are not read

NEEDS_ANOTHER = (
    f"of an OLMo 3 cannot be expressed in transformers {transformers.__version__}, which has one setting for layers "
    "of full and of sliding attention: load this with transformers 5.13 or newer, or with 4.57."
)


def readable_rope(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config, its `model_type` and nested ones included, as the running line reads them.

    Raises:
        ConfigError: see `of_layers` and `of_all_layers`.
    """
    found = {
        name: readable_rope(value) if isinstance(value, Mapping) and name != "rope_parameters" else value
        for name, value in fields.items()
    }
    rope, kind = found.get("rope_parameters"), found.get("model_type")
    if kind == "olmo3" and rope and "rope_type" in rope:  # as 5.0 to 5.12 write, and compute with in all layers
        rope = found["rope_parameters"] = {name: dict(rope) for name in ("full_attention", "sliding_attention")}
    if READS_PARAMETERS:
        found |= parameters_of_one_frequency(kind, found) if kind in ONE_FREQUENCY and not rope else {}
        if kind == "olmo3" and OLMO3_HAS_ONE and found.get("rope_parameters"):
            found["rope_parameters"] = of_all_layers(found["rope_parameters"])
        return found
    if not rope:
        return found
    del found["rope_parameters"]
    if "rope_type" not in rope:  # one entry for each kind of layer
        return found | of_layers(kind, rope)
    names = OTHER_NAMES.get(kind, OWN_FIELDS)
    found |= {name: rope[own] for own, name in zip(OWN_FIELDS, names, strict=True) if own in rope}
    return found | {"rope_scaling": scaling_of(rope, kind)}


def of_all_layers(rope: Mapping[str, Any]) -> dict[str, Any]:
    """The one setting that 5.0 to 5.12 have for an OLMo 3, of those of full and of sliding attention.

    Raises:
        ConfigError: these differ, as where full attention is scaled.
    """
    full, sliding = (rope.get(name) for name in ("full_attention", "sliding_attention"))
    if full != sliding:
        raise ConfigError(f"rope_parameters={dict(rope)!r} {NEEDS_ANOTHER}")
    return dict(full)


def check_scaled_layers(config: PretrainedConfig) -> PretrainedConfig:
    """The config itself; refuse a scaled OLMo 3 where transformers, without a word, scales its sliding attention, too.

    Raises:
        ConfigError: it is one.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    if OLMO3_HAS_ONE and type(config).model_type == "olmo3" and rope.get("rope_type") != "default":
        raise ConfigError(f"rope_parameters={rope!r} {NEEDS_ANOTHER}")
    return config


def scaling_of(rope: Mapping[str, Any], kind: str | None) -> dict[str, Any] | None:
    """4.57's `rope_scaling`; `None` where there is none."""
    scaling = {name: value for name, value in rope.items() if name not in OWN_FIELDS}
    return None if scaling == DEFAULT and kind not in WANTS_A_TYPE else scaling


def of_layers(kind: str | None, rope: Mapping[str, Any]) -> dict[str, Any]:
    """4.57's fields for the `rope_parameters` of full and of sliding attention; what it scales is the former.

    kind: the model type.

    Raises:
        ConfigError: it has none for these.
    """
    full, sliding = (dict(rope.get(name) or {}) for name in ("full_attention", "sliding_attention"))
    allowed = {
        "olmo3": DEFAULT | {"rope_theta": full.get("rope_theta")},  # of one frequency
        "modernbert-decoder": full,  # of one setting, whatever `local_rope_theta` says
    }.get(kind, DEFAULT | {"rope_theta": sliding.get("rope_theta")})
    if kind not in FREQUENCIES or sliding != allowed or "rope_theta" not in full or "partial_rotary_factor" in full:
        raise ConfigError(
            f"rope_parameters={dict(rope)!r} of a {kind} cannot be expressed in transformers "
            f"{transformers.__version__}: load this with transformers 5 or newer."
        )
    names = FREQUENCIES[kind]
    return {"rope_scaling": scaling_of(full, kind), names[1]: sliding["rope_theta"], names[0]: full["rope_theta"]}


def parameters_of_one_frequency(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """`rope_parameters` of what 4.57 wrote of a model that it computes with one base frequency: 5.x gives an OLMo 3's
    to full attention alone, and reads the other that a ModernBERT decoder has a field for."""
    name = FREQUENCIES[kind][0]
    if fields.get(name) is None:
        return {}
    theta = {"rope_theta": fields[name]}
    full = (fields.get("rope_scaling") or DEFAULT) | theta
    sliding = DEFAULT | theta if kind == "olmo3" else full
    return {"rope_parameters": {"full_attention": full, "sliding_attention": dict(sliding)}, "rope_scaling": None}
