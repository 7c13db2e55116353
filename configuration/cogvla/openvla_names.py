"""The names that tensors of OpenVLA, OpenVLA-OFT and CogVLA have in published files, and in the model.

Upstream: JiuTian-VL/CogVLA and moojink/openvla-oft, vla-scripts/finetune.py and merge_lora_weights_and_save.py.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..vla_errors import ConfigError

# Fields of config.json that CogVLA wrote; the latter stand in its text_config.
COGVLA_FIELDS = ("vision_aggregate_type", "num_vision_aggr", "use_aggr", "use_film")
LFP_FIELDS = ("use_lfp", "lfp_type", "lfp_average_factor", "lfp_enable_film")
# Each a pattern, the name in the model (`None` where it has no use for the tensor), and the reason.
AGGREGATION = "vision_backbone.featurizer.aggregation.tokens"
TOWER = r"vision_backbone\.(?:vision_backbone\.)?(featurizer|fused_featurizer)"
OPENVLA_NAMES = (
    (rf"{TOWER}\.blocks\.(\d+)\.(scale|shift)\.(\w+)", r"vision_backbone.\1.blocks.\2.film.\3.\4", "FiLM"),
    (
        rf"{TOWER}\.blocks\.(\d+)\.(?:block\.)?((?:norm1|attn|ls1|norm2|mlp|ls2)\..+)",
        r"vision_backbone.\1.blocks.\2.\3",
        "block of a vision tower, wrapped by FiLM or bare",
    ),
    (
        rf"{TOWER}\.(cls_token|reg_token|pos_embed|patch_embed\..+)",
        r"vision_backbone.\1.\2",
        "embeddings of a vision tower",
    ),
    (rf"{TOWER}\.(?:norm|attn_pool|fc_norm)\..+", None, "features are taken before the tower's final norm and pool"),
    (rf"{TOWER}\.attn_pool\.latent", None, "features are taken before the tower's final norm and pool"),
    (
        r"vision_backbone\.vision_aggr_(featurizer|fused_featurizer)",
        r"vision_backbone.\1.aggregation.tokens",
        "aggregation tokens",
    ),
    (r"aggregation_router\.(.+)", r"moe_aggregator.\1", "router of the MoE aggregator"),
    (r"((?:fused_)?featurizer_proj\..+)", r"moe_aggregator.\1", "projectors of the MoE aggregator"),
    (r"(projector\..+)", r"\1", "projector of joined channels"),
    (r"language_model\..+\.rotary_emb\.inv_freq", None, "computed, not learned"),
    (r"(language_model\..+)", r"\1", "language model, with the routers of its pruning layers"),
    (r"action_head\.noise_predictor\.mlp_resnet\.(.+)", r"action_head.model.\1", "diffusion head"),
    (r"(action_head\.model\..+)", r"\1", "L1 head"),
    (r"((?:proprio|noisy_action)_projector\..+)", r"\1", "projector of state or noisy actions"),
)


def name_in_model(key: str) -> str | None:
    """Of a tensor of a published file; `None` where the model has no use for it.

    Raises:
        ConfigError: the name is unknown.
    """
    for pattern, replacement, _ in OPENVLA_NAMES:
        if match := re.fullmatch(pattern, key):
            return None if replacement is None else match.expand(replacement)
    raise ConfigError(f"the weights hold the tensor {key}, which no known layout has.")


def unused_reason(target: str, config: Any) -> str | None:
    """Why the model of a `CogVLAConfig` has no use for a tensor of a known name; `None` when it should have."""
    parts = target.split(".")
    if parts[0] == "vision_backbone" and parts[2] == "blocks":
        tower = getattr(config, f"{parts[1]}_config")
        if int(parts[3]) >= tower.num_hidden_layers:
            return "features are taken before the tower's last block"
    if parts[0] == "projector" and config.vision_aggregate_type == "moe":
        return "the MoE aggregator replaces it"
    return None


def parts_found(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Which parts the model has, as fields of `CogVLAConfig`; what is off has no size.

    shapes: of the tensors, by the names that the model has for them.
    """
    found: dict[str, Any] = {
        "use_film": any(".film." in name for name in shapes),
        "use_aggr": AGGREGATION in shapes,
        "vision_aggregate_type": "moe" if "moe_aggregator.router.0.weight" in shapes else "concat",
        "use_lfp": any(".router.router." in name for name in shapes),
        "action_head": "discrete",
        "state_dim": None,
    }
    if found["use_aggr"]:
        found["num_vision_aggr"] = shapes[AGGREGATION][1]
    if found["use_lfp"]:
        found["lfp_enable_film"] = any(".router.scale." in name for name in shapes)
    if "action_head.model.fc2.weight" in shapes:
        found["action_head"] = "diffusion" if "noisy_action_projector.fc1.weight" in shapes else "l1"
        found["action_dim"] = shapes["action_head.model.fc2.weight"][0]
    if "proprio_projector.fc1.weight" in shapes:
        found["state_dim"] = shapes["proprio_projector.fc1.weight"][1]
    return found


def cogvla_parts(found: Mapping[str, Any]) -> list[str]:
    """The parts of CogVLA that OpenVLA-OFT has not got; found: see `parts_found`."""
    there = {
        "aggregation tokens": found["use_aggr"],
        "an MoE aggregator": found["vision_aggregate_type"] == "moe",
        "routers of pruning layers": found["use_lfp"],
    }
    return [part for part, has in there.items() if has]


def is_wrapped_by_film(key: str) -> bool:
    """Whether a published name, of a LoRA too, is that of a layer inside a FiLM block; no other model has such."""
    return re.search(r"featurizer\.blocks\.\d+\.block\.", key) is not None


def has_cogvla_fields(published: Mapping[str, Any]) -> bool:
    """Whether a published config.json was written by CogVLA rather than by OpenVLA or OpenVLA-OFT."""
    text = published.get("text_config") or {}
    return any(name in published for name in COGVLA_FIELDS) or any(name in text for name in LFP_FIELDS)
