"""The names that tensors of CogVLA, OpenVLA-OFT and OpenVLA have in published files, and in the model.

Upstream: JiuTian-VL/CogVLA and moojink/openvla-oft, vla-scripts/finetune.py and merge_lora_weights_and_save.py.
"""

from typing import TYPE_CHECKING

from ..tensors.rename import Row

if TYPE_CHECKING:  # slow to import
    from ...configuration.cogvla.configuration_cogvla import CogVLAConfig

TOWER = r"vision_backbone\.(?:vision_backbone\.)?(featurizer|fused_featurizer)"
TABLE = [
    Row(rf"{TOWER}\.blocks\.(\d+)\.(scale|shift)\.(\w+)", r"vision_backbone.\1.blocks.\2.film.\3.\4", "FiLM"),
    Row(
        rf"{TOWER}\.blocks\.(\d+)\.(?:block\.)?((?:norm1|attn|ls1|norm2|mlp|ls2)\..+)",
        r"vision_backbone.\1.blocks.\2.\3",
        "block of a vision tower, wrapped by FiLM or bare",
    ),
    Row(
        rf"{TOWER}\.(cls_token|reg_token|pos_embed|patch_embed\..+)",
        r"vision_backbone.\1.\2",
        "embeddings of a vision tower",
    ),
    Row(rf"{TOWER}\.(?:norm|attn_pool|fc_norm)\..+", None, "features are taken before the tower's final norm and pool"),
    Row(rf"{TOWER}\.attn_pool\.latent", None, "features are taken before the tower's final norm and pool"),
    Row(
        r"vision_backbone\.vision_aggr_(featurizer|fused_featurizer)",
        r"vision_backbone.\1.aggregation.tokens",
        "aggregation tokens",
    ),
    Row(r"aggregation_router\.(.+)", r"moe_aggregator.\1", "router of the MoE aggregator"),
    Row(r"((?:fused_)?featurizer_proj\..+)", r"moe_aggregator.\1", "projectors of the MoE aggregator"),
    Row(r"(projector\..+)", r"\1", "projector of joined channels"),
    Row(r"language_model\..+\.rotary_emb\.inv_freq", None, "computed, not learned"),
    Row(r"(language_model\..+)", r"\1", "language model, with the routers of its pruning layers"),
    Row(r"action_head\.noise_predictor\.mlp_resnet\.(.+)", r"action_head.model.\1", "diffusion head"),
    Row(r"(action_head\.model\..+)", r"\1", "L1 head"),
    Row(r"((?:proprio|noisy_action)_projector\..+)", r"\1", "projector of state or noisy actions"),
]

# Side files by the start of their names: what their keys lack in front.
SIDE_FILES = {
    "vision_backbone": "vision_backbone.",
    "non_lora_trainables": "",
    "action_head": "action_head.",
    "proprio_projector": "proprio_projector.",
    "noisy_action_projector": "noisy_action_projector.",
}


def unused_reason(target: str, config: "CogVLAConfig") -> str | None:
    """Why the model has no use for a tensor of a known name; `None` when it should have."""
    parts = target.split(".")
    if parts[0] == "vision_backbone" and parts[2] == "blocks":
        tower = getattr(config, f"{parts[1]}_config")
        if int(parts[3]) >= tower.num_hidden_layers:
            return "features are taken before the tower's last block"
    if parts[0] == "projector" and config.vision_aggregate_type == "moe":
        return "the MoE aggregator replaces it"
    return None


def expected_in(target: str) -> str:
    """The file of a run in which a tensor of the output is usually found; for error messages."""
    if ".film." in target or ".aggregation." in target:
        return "vision_backbone--*_checkpoint.pt"
    if target.startswith("moe_aggregator.") or ".router." in target:
        return "non_lora_trainables--*_checkpoint.pt"
    for kind in ("action_head", "proprio_projector", "noisy_action_projector"):
        if target.startswith(f"{kind}."):
            return f"{kind}--*_checkpoint.pt"
    return "the base model's weights"
