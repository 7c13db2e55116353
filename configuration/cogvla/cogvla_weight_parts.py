"""The parts of CogVLA, OpenVLA-OFT and OpenVLA by the names of their tensors."""

from ..weight_parts import LANGUAGE_MODEL, PartRow, PartRules

DINOV2, SIGLIP = "vision tower (DINOv2)", "vision tower (SigLIP)"
FILM, AGGREGATION = "FiLM of the towers", "aggregation tokens"
COGVLA_PARTS = PartRules(
    rows=(
        PartRow(r"vision_backbone\.\w+\.blocks\.\d+\.film\.", FILM),
        PartRow(r"vision_backbone\.\w+\.aggregation\.", AGGREGATION),
        PartRow(r"vision_backbone\.featurizer\.", DINOV2),
        PartRow(r"vision_backbone\.fused_featurizer\.", SIGLIP),
        PartRow(r"moe_aggregator\.", "MoE aggregator"),
        PartRow(r"projector\.", "projector"),
        PartRow(r"proprio_projector\.", "state projector"),
        PartRow(r"language_model\..+\.router\.", "routers of token pruning (LFP)"),
        PartRow(r"language_model\.", LANGUAGE_MODEL),
        PartRow(r"(?:noisy_action_projector|action_head)\.", "action head"),
    ),
    order=(
        *(DINOV2, SIGLIP, FILM, AGGREGATION, "MoE aggregator", "projector", "state projector", LANGUAGE_MODEL),
        *("routers of token pruning (LFP)", "action head"),
    ),
    pretrained=("vision_backbone", "language_model"),
    added=("film", "aggregation", "router"),
)
