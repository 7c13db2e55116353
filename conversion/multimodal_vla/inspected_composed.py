"""What `vlahub inspect` says of composed models: their parts, whatever these are, and what may become one."""

from collections.abc import Mapping
from typing import Any

from ...configuration.multimodal_vla.composed_weight_parts import COMPOSED_PARTS
from ...configuration.multimodal_vla.vlm_facts import VLMS
from ..family_inspection import FamilyInspection, ModelFacts, robot_facts


def composed_facts(config: Mapping[str, Any], processor: Mapping[str, Any]) -> ModelFacts:
    choices = {
        "vision tower": model_type_of(config, "vision_config"),
        "second vision tower": model_type_of(config, "second_vision_config"),
        "language model": model_type_of(config, "text_config"),
        "VLM": model_type_of(config, "vlm_config"),
        "projector": config.get("projector_type"),
        "fusion": config.get("fusion"),
        "latents": config.get("num_latents") if config.get("projector_type") in ("perceiver", "qformer") else None,
    }
    facts = robot_facts(config, processor, choices)
    if facts.action_head != "flow":
        facts.num_inference_steps = None
    return facts


def model_type_of(config: Mapping[str, Any], name: str) -> str | None:
    return (config.get(name) or {}).get("model_type")


def uses_of_base(config: Mapping[str, Any]) -> list[str]:
    """What the backbone of a composed model may be: a VLM of those that were shown to work."""
    if config.get("model_type") in VLMS:
        return ['MultimodalVLAForActionPrediction.from_vlm("PLACE", ...)  # Python']
    if config.get("vision_config") is None and ("hidden_size" in config or "hidden_sizes" in config):
        role = "vision" if "image_size" in config or "num_channels" in config else "text"
        return [f'MultimodalVLAForActionPrediction.from_backbones({role}="PLACE", ...)  # Python']
    if config.get("model_type") in ("siglip", "siglip2", "clip"):
        return ['MultimodalVLAForActionPrediction.from_backbones(vision="PLACE", ...)  # Python']
    return []


INSPECTION = FamilyInspection(parts=COMPOSED_PARTS, facts=composed_facts, uses=uses_of_base)
