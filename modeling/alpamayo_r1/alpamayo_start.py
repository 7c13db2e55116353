"""The config of a new Alpamayo-R1: what its base is, and what is switched on over it."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase, Qwen3VLTextConfig

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import EXPERT, AlpamayoR1Config
from ...configuration.alpamayo_r1.trajectory_vocabulary import add_trajectory_tokens
from ...configuration.vla_errors import ConfigError
from .trajectory_text import future_tokenizer
from .trajectory_tokenizers import DeltaTrajectoryTokenizer

MLP_RATIO = EXPERT["intermediate_size"] / EXPERT["hidden_size"]  # of the release
BINS = 1000  # of a history, in the release
FUTURE_BINS = 3000
POSES = 16
# Fields that are the new expert's, or of which nothing that was learnt depends.
OPEN = ("expert_cfg", "action_in_proj_cfg", "action_out_proj_cfg", "diffusion_cfg", "expert_non_causal_attention")
OPEN += ("stop_grad_from_vlm", "num_inference_steps", "ode_solver", "ode_spacing", "view_names", "vlm_name_or_path")
FROM_BASE = ("vlm_config", "expert_config", "vocab_size", "traj_token_start_idx", "traj_token_ids")


def start_config(
    vlm: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, switches: Mapping[str, Any]
) -> AlpamayoR1Config:
    """The config of a start from a Qwen3-VL, to whose tokenizer the trajectory's tokens are added.

    Args:
        vlm: its config.json.
        switches: fields of the config; of `expert_cfg`, `traj_tokenizer_cfg` and the other dicts only what differs
            from the release.

    Raises:
        ConfigError: a switch follows from the base, fields do not fit together, or a token is there already.
    """
    if fixed := [name for name in FROM_BASE if name in switches]:
        raise ConfigError(f"{fixed[0]} follows from the base and what is switched on; leave it out.")
    check_expert_names(switches)
    fields = dict(switches)
    fields["traj_tokenizer_cfg"] = {"num_bins": FUTURE_BINS, **fields.get("traj_tokenizer_cfg", {})}
    fields["hist_traj_tokenizer_cfg"] = {"num_bins": BINS, **fields.get("hist_traj_tokenizer_cfg", {})}
    history = DeltaTrajectoryTokenizer(**fields["hist_traj_tokenizer_cfg"])
    fields.setdefault("traj_vocab_size", fields["traj_tokenizer_cfg"]["num_bins"] + history.vocab_size)
    fields.setdefault("tokens_per_history_traj", POSES * history.tokens_per_pose)
    tokens = add_trajectory_tokens(tokenizer, fields["traj_vocab_size"], fields.get("add_special_tokens", True))
    fields |= {name: tokens[name] for name in ("vocab_size", "traj_token_start_idx", "traj_token_ids")}
    sized = AlpamayoR1Config(**{**fields, "vlm_config": dict(vlm), "expert_cfg": {}})
    fields["expert_cfg"] = expert_sizes(sized, fields.get("expert_cfg", {}))
    fields.setdefault("tokens_per_future_traj", sized.num_action_chunks * sized.action_dim)
    config = AlpamayoR1Config(**{**fields, "vlm_config": dict(vlm)})
    check_history(config, history)
    future_tokenizer(config)
    config.pad_token_id = tokenizer.pad_token_id
    return config


def check_expert_names(switches: Mapping[str, Any]) -> None:
    """Raises ConfigError where `expert_cfg` is no dict, or has a name that a Qwen3 does not know."""
    given = switches.get("expert_cfg", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"expert_cfg={given!r} must be a dict of what differs from the release.")
    known = {*vars(Qwen3VLTextConfig()), "rope_theta", "rope_scaling", "rope_parameters"}  # of both lines
    if unknown := sorted(given.keys() - known):
        raise ConfigError(f"expert_cfg has {unknown[0]!r}, which is no field of the expert, a Qwen3-VL's text model.")


def expert_sizes(config: AlpamayoR1Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """`expert_cfg` of an expert of these sizes; what is not given is the release's over its base: half of its width and
    of its heads."""
    text = config.vlm_config.text_config
    width = given.get("hidden_size", text.hidden_size // 2)
    heads = max(text.num_key_value_heads, text.num_attention_heads // 2)
    sizes = {"hidden_size": width, "intermediate_size": round(width * MLP_RATIO), "num_attention_heads": heads}
    return {**sizes, "head_dim": text.head_dim, **given}


def check_history(config: AlpamayoR1Config, history: DeltaTrajectoryTokenizer) -> None:
    """Raises ConfigError where tokens of a history are no whole poses, or have not enough values."""
    if config.tokens_per_history_traj % history.tokens_per_pose:
        raise ConfigError(
            f"tokens_per_history_traj={config.tokens_per_history_traj} is no multiple of the {history.tokens_per_pose} "
            "tokens of a pose."
        )
    needed = config.traj_tokenizer_cfg["num_bins"] + history.vocab_size
    if needed > config.traj_vocab_size:
        raise ConfigError(
            f"traj_vocab_size={config.traj_vocab_size} does not hold the {needed} values of futures and histories."
        )


def next_config(base: AlpamayoR1Config, switches: Mapping[str, Any]) -> AlpamayoR1Config:
    """The config of a start from an Alpamayo-R1 that was begun before: its expert alone can be another one.

    switches: as in `start_config`; what the base has already may be said again.

    Raises:
        ConfigError: something else than the expert would be another one, or nothing would.
    """
    check_expert_names(switches)
    for name, value in switches.items():
        there = getattr(base, name, None)
        same = dict(there or {}) | dict(value) == dict(there or {}) if isinstance(value, Mapping) else there == value
        if name not in OPEN and not same:
            raise ConfigError(
                f"{name} is {there!r} in the base, which was trained with it, and not {value!r}: of an Alpamayo-R1 "
                "only the expert can be made anew; begin with its Qwen3-VL for another."
            )
    wanted = dict(switches.get("expert_cfg", {}))
    if follows := [field for field in ("num_hidden_layers", "num_key_value_heads", "head_dim") if field in wanted]:
        text = base.vlm_config.text_config
        for field in follows:
            if wanted[field] != getattr(text, field):
                raise ConfigError(
                    f"expert_cfg.{field}={wanted[field]!r} must be the VLM's, {getattr(text, field)}: the expert reads "
                    "its keys and values."
                )
    changed = {field: value for field, value in wanted.items() if getattr(base.expert_config, field, None) != value}
    if not changed:
        raise ConfigError(
            "nothing would be new: the base is an Alpamayo-R1 with such an expert, which can be trained as it is. "
            "Another one has another hidden_size, intermediate_size or num_attention_heads."
        )
    fields = {name: value for name, value in base.to_dict().items() if name not in ("expert_config", "model_type")}
    sizes = {field: getattr(base.expert_config, field) for field in EXPERT}
    given = {name: value for name, value in switches.items() if name in OPEN and name != "expert_cfg"}
    dicts = {name: {**getattr(base, name), **value} for name, value in given.items() if isinstance(value, Mapping)}
    config = AlpamayoR1Config.from_dict(fields | dicts | {"expert_cfg": {**base.expert_cfg, **sizes, **changed}})
    for name in given.keys() - dicts.keys():
        setattr(config, name, given[name])
    config.check()
    return config
