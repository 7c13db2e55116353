"""The parts of composed models by the names of their tensors, whatever these are composed of."""

from ..weight_parts import LANGUAGE_MODEL, PartRow, PartRules

TOWER, SECOND, FUSION = "vision tower", "second vision tower", "fusion"
GROUNDING, QUERIES = "grounding (text tower)", "action queries"
VISION = "vision_tower|vision_model|visual|vision_encoder|vision"
PROJECTORS = r"\w*projector|aligner|connector|qformer|query_tokens|language_projection"
COMPOSED_PARTS = PartRules(
    rows=(
        PartRow(r"backbone\.second_vision_tower\.", SECOND),
        PartRow(r"backbone\.vision_tower\.(?:text_model|text_projection|visual_projection|logit_)", GROUNDING),
        PartRow(r"backbone\.vision_tower\.", TOWER),
        PartRow(rf"backbone\.vlm\.(?:model\.)*(?:{VISION})\.", TOWER),
        PartRow(rf"backbone\.vlm\.(?:model\.)*(?:{PROJECTORS})\b", "projector"),
        PartRow(r"backbone\.", LANGUAGE_MODEL),
        PartRow(r"projector\.", "projector"),
        PartRow(r"tower_conditioning\.", "FiLM and aggregation tokens of the towers"),
        PartRow(r"(?:film|gated_layers|late_projector)\.", FUSION),
        PartRow(r"proprio_projector\.", "state projector"),
        PartRow(r"(?:action_queries|query_attention)\.", QUERIES),
        PartRow(r"action_network\.", "action head (stack)"),
        PartRow(r"action_head\.", "action head"),
    ),
    order=(
        *(
            TOWER,
            SECOND,
            GROUNDING,
            "FiLM and aggregation tokens of the towers",
            "projector",
            FUSION,
            "state projector",
        ),
        *(LANGUAGE_MODEL, QUERIES, "action head (stack)", "action head"),
    ),
    pretrained=("backbone",),
)
