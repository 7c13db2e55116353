"""The names that tensors of OpenVLA, OpenVLA-OFT and CogVLA have in published files, and in the model.

Upstream: JiuTian-VL/CogVLA and moojink/openvla-oft, vla-scripts/finetune.py and merge_lora_weights_and_save.py.
"""

import re
from typing import Any

from ..vla_errors import ConfigError

# Each a pattern, the name in the model (`None` where it has no use for the tensor), and the reason.
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
