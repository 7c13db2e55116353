"""The config of a start: a base model, and what is switched on in it (OpenVLA -> OpenVLA-OFT -> CogVLA).

What comes out depends on what is switched on in all, and not on the order or the number of steps.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..known_fields import check_arguments, in_own_words, own_arguments
from ..language_model_config import TOKEN_IDS
from ..normalization_statistics import check_statistics
from ..vla_errors import ConfigError
from .configuration_cogvla import CogVLAConfig
from .openvla_names import cogvla_parts

# Words of `vlahub create` for fields of the config.
WORDS = {
    "film": "use_film",
    "aggregation_tokens": "num_vision_aggr",
    "fusion": "vision_aggregate_type",
    "lfp": "lfp_type",
    "lfp_film": "lfp_enable_film",
    "num_images": "num_images_in_input",
    "normalization": "normalization_type",
    "statistics": "norm_stats",
}
NUM_ACTION_CHUNKS = 8  # of the published scripts for LIBERO
NUM_DIFFUSION_STEPS = 50  # of all published scripts
SWITCHES = {"use_film": "FiLM", "use_aggr": "aggregation tokens", "use_lfp": "token pruning", "use_state": "a state"}
SIZED_BY = {"use_aggr": "num_vision_aggr", "use_lfp": "lfp_type", "use_state": "state_dim"}
OF_LFP = ("lfp_type", "lfp_average_factor", "lfp_enable_film", "lfp_schedule_layers")
OF_DIFFUSION = ("num_diffusion_steps", "num_inference_steps")
SIZES = ("text_config", "featurizer_config", "fused_featurizer_config")


@dataclass(frozen=True)
class Start:
    """Attributes:
    config: of the start.
    reasons: `{field: why it is as it is}`, for what was neither given nor is the base's.
    """

    config: CogVLAConfig
    reasons: dict[str, str]


def start_config(base: CogVLAConfig, given: Mapping[str, Any]) -> Start:
    """The config of a start.

    Args:
        base: describes the base model as it is.
        given: what shall be otherwise: fields of `CogVLAConfig`, by any of their words and those of `WORDS`, or
            `decoding`, "parallel" or "autoregressive"; `None` is not given. A size switches its part on, 0 off.

    Raises:
        ConfigError: a name is unknown, a part of the base would be lost or have another size, or a setting is of a part
            that there will not be; the message names it.
    """
    fields = own_fields(given)
    decoding = fields.pop("decoding", None)
    check_kept(base, fields)
    values, reasons = {**fields_of(base), **fields}, {}
    if not values["use_state"]:
        values["state_dim"] = None
    if values["use_lfp"] and not base.use_lfp:
        if "lfp_schedule_layers" not in fields:
            values["lfp_schedule_layers"] = base.text_config.num_hidden_layers
        reasons = {name: "default" for name in OF_LFP if name not in fields}
    settle_actions(base, fields, decoding, values, reasons)
    settle_statistics(base, fields, values, reasons)
    if values["num_images_in_input"] != base.num_images_in_input and "view_names" not in fields:
        values["view_names"] = None
    config = CogVLAConfig(**values, dtype=base.dtype)
    check_used(config, fields)
    check_layers_kept(base, config)
    return Start(config, reasons)


def own_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, by the names of the config's fields, with the switches that sizes imply."""
    given = {name: value for name, value in given.items() if value is not None}
    decoding = {"decoding": given.pop("decoding")} if "decoding" in given else {}
    fields: dict[str, Any] = {}
    for word, value in given.items():
        name = WORDS.get(word, word)
        if name in fields and fields[name] != value:
            raise ConfigError(f"{name}={fields[name]!r} and {word}={value!r} are two words for one field.")
        fields[name] = value
    check_arguments(CogVLAConfig.__name__, fields, own_arguments(CogVLAConfig))
    fields = in_own_words(CogVLAConfig, fields)
    check_switches(fields)
    for switch, size in SIZED_BY.items():
        if size in fields:
            fields.setdefault(switch, fields[size] != 0)
            if fields[size] == 0:
                del fields[size]
    return fields | decoding


def check_switches(fields: Mapping[str, Any]) -> None:
    """Refuse what a text or a number would switch on."""
    for name in (*SWITCHES, "lfp_enable_film"):
        if not isinstance(fields.get(name, False), bool):
            raise ConfigError(f"{named(name)} is {fields[name]!r}; True or False is needed.")
    if not isinstance(fields.get("lfp_type", ""), str):
        raise ConfigError(
            f"{named('lfp_type')} is {fields['lfp_type']!r}; the name of a schedule is needed, such as "
            "'shiftedcos_decay_0.85_0.15'."
        )


def fields_of(config: CogVLAConfig) -> dict[str, Any]:
    """The arguments that make such a config."""
    names = set(inspect.signature(CogVLAConfig.__init__).parameters).union(TOKEN_IDS) - {"self", "kwargs"}
    return {name: getattr(config, name) for name in sorted(names)}


def named(field: str) -> str:
    """A field as both a caller in Python and one of the command know it."""
    words = [word for word, name in WORDS.items() if name == field]
    return f"{field} (--{(words or [field])[0].replace('_', '-')})"


def check_kept(base: CogVLAConfig, fields: Mapping[str, Any]) -> None:
    """Refuse what would lose a part of the base, or give it another size."""
    for switch, part in SWITCHES.items():
        if fields.get(switch) is False and getattr(base, switch):
            raise ConfigError(
                f"{named(SIZED_BY.get(switch, switch))} switches {part} off, which the base has: a start keeps all of "
                "its base; begin with a model without it."
            )
    if sizes := [name for name in SIZES if name in fields]:
        raise ConfigError(f"{', '.join(sizes)} cannot be given: the sizes of a start are those of its base.")
    has_head = base.action_head != "discrete"
    fixed = {
        "num_vision_aggr": base.use_aggr,
        "state_dim": base.use_state,
        "action_dim": has_head,
        "action_head": has_head,
        "vision_aggregate_type": base.vision_aggregate_type == "moe",
        "num_diffusion_steps": base.action_head == "diffusion",
        "lfp_enable_film": base.use_lfp and base.lfp_enable_film,
    }
    for name, there in fixed.items():
        if there and name in fields and fields[name] != getattr(base, name):
            raise ConfigError(
                f"{named(name)} is {fields[name]!r}, but the base was trained with {getattr(base, name)!r}: a start "
                "keeps all of its base; begin with a model that has not got this part yet."
            )


def settle_actions(
    base: CogVLAConfig, fields: Mapping[str, Any], decoding: str | None, values: dict[str, Any], reasons: dict[str, str]
) -> None:
    """How actions are predicted, where that was not given."""
    if decoding not in (None, "parallel", "autoregressive"):
        raise ConfigError(f"decoding={decoding!r} is unknown; choose from parallel, autoregressive.")
    if "action_attention" not in fields:
        values["action_attention"] = attention(base, decoding, values)
        if values["action_attention"] != base.action_attention:
            reasons["action_attention"] = "inferred (as published for these parts)"
    was, now = (kind == "causal" for kind in (base.action_attention, values["action_attention"]))
    if was and not now and "num_action_chunks" not in fields:
        values["num_action_chunks"] = NUM_ACTION_CHUNKS
        reasons["num_action_chunks"] = (
            "assumed (as in published scripts for LIBERO; --num-action-chunks says otherwise)"
        )
    is_new = values["action_head"] == "diffusion" and base.action_head != "diffusion"
    if is_new and "num_diffusion_steps" not in fields:
        values["num_diffusion_steps"] = NUM_DIFFUSION_STEPS
        reasons["num_diffusion_steps"] = "assumed (as in published scripts; --num-diffusion-steps says otherwise)"
    if base.action_head == "discrete" and "action_dim" not in fields and "norm_stats" in fields:
        size = action_size(fields["norm_stats"])
        values["action_dim"] = base.action_dim if size is None else size


def attention(base: CogVLAConfig, decoding: str | None, values: Mapping[str, Any]) -> str:
    """What is published for the parts that there are, unless the base has it otherwise."""
    if decoding == "autoregressive":
        return "causal"
    if base.action_attention == "causal" and values["action_head"] == "discrete" and decoding is None:
        return "causal"
    usual = base.action_attention in ("causal", parallel_attention(fields_of(base)))
    return parallel_attention(values) if usual else base.action_attention


def parallel_attention(values: Mapping[str, Any]) -> str:
    """Of OpenVLA-OFT, or of CogVLA where a part of it is there."""
    return "block" if cogvla_parts(values) else "bidirectional"


def action_size(norm_stats: Mapping[str, Any]) -> int | None:
    """How many dimensions the actions have; `None` where it is not the same for all."""
    entries = [stats.get("action", {}) for stats in norm_stats.values() if isinstance(stats, Mapping)]
    sizes = {len(value) for entry in entries for value in entry.values() if isinstance(value, list)}
    return sizes.pop() if len(sizes) == 1 else None


def settle_statistics(
    base: CogVLAConfig, fields: Mapping[str, Any], values: dict[str, Any], reasons: dict[str, str]
) -> None:
    """Those of the base stay as far as a model of these sizes can work with them."""
    if "norm_stats" in fields:
        return
    misfits = {}
    for key, stats in base.norm_stats.items():
        try:
            check_statistics({key: stats}, values["normalization_type"], values["action_dim"], values["state_dim"])
        except ConfigError as error:
            misfits[key] = str(error).rstrip(".")
    values["norm_stats"] = {key: stats for key, stats in base.norm_stats.items() if key not in misfits}
    if misfits:
        reasons["norm_stats"] = f"left out {', '.join(misfits)} of the base ({next(iter(misfits.values()))})"
    elif base.norm_stats and base.action_head == "discrete" and values["action_head"] != "discrete":
        reasons["norm_stats"] = "assumed (the base's; --statistics FILE says otherwise)"


def check_used(config: CogVLAConfig, fields: Mapping[str, Any]) -> None:
    """Refuse settings of parts that are not there, which would have no effect, and parts that cannot be trained."""
    idle = {name: "token pruning (--lfp SCHEDULE)" for name in OF_LFP if not config.use_lfp}
    idle |= {name: "diffusion head" for name in OF_DIFFUSION if config.action_head != "diffusion"}
    for name, part in idle.items():
        if name in fields:
            raise ConfigError(f"{named(name)} is given, but the model will have no {part}.")
    if config.why_not_trained:
        raise ConfigError(config.why_not_trained)
    if fields.get("use_lfp") and not config.lfp_keep_ratios:
        raise ConfigError(
            f"{named('lfp_type')} is {config.lfp_type!r}, by which none of the {config.text_config.num_hidden_layers} "
            f"layers prunes: lfp_average_factor is {config.lfp_average_factor}, lfp_schedule_layers "
            f"{config.lfp_schedule_layers}."
        )


def check_layers_kept(base: CogVLAConfig, config: CogVLAConfig) -> None:
    """Refuse a schedule without layers that prune in the base, whose routers would be lost."""
    lost = sorted(set(base.lfp_keep_ratios) - set(config.lfp_keep_ratios))
    if lost:
        raise ConfigError(
            f"{named('lfp_type')} is {config.lfp_type!r}, by which layers {lost} no longer prune, as they do in the "
            "base: a start keeps all of its base."
        )
