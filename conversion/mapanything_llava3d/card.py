"""What README.md of a LLaVA-3D checkpoint says."""

from typing import Any

from ..family_card import Card, Origin, licence_list, listed, new_text, stack_text, untrained_text


def llava3d_values(config: Any, report: dict) -> dict[str, str]:
    """config: a `MapAnythingLlava3DConfig`."""
    state = ["the robot's state"] if config.use_state else []
    return {
        "warning": untrained_text(report),
        "reads": listed(["camera images", "an instruction", *state]),
        "vision": stack_text(config.vision_config) + f", {config.vision_config.image_size} pixels",
        "language": f"{config.text_config.model_type}, {stack_text(config.text_config)}",
        "geometry": geometry_text(config),
        "expert": expert_text(config),
        "prefix": config.prefix_attention,
        "new": new_text(report),
    }


def geometry_text(config: Any) -> str:
    if not config.use_geometric_branch:
        return "none"
    geometry = config.geometry_config
    sharing = f"{geometry.info_sharing_num_hidden_layers} of width {geometry.info_sharing_hidden_size}"
    return f"MapAnything, {stack_text(geometry)}, {sharing} over all views, pixels `{config.geometry_normalization}`"


def expert_text(config: Any) -> str:
    """The action experts, in the order in which they work."""
    parts = []
    if config.has_deep_fusion:
        parts.append(f"{stack_text(config.expert_config)}, joined to the language model's layers")
    if config.has_dit:
        parts.append(f"DiT head, {config.dit_config.num_hidden_layers} blocks, context `{config.dit_config.context}`")
    return "; ".join(parts) or "none: this model writes text"


def of_parts(inputs: dict[str, str], licences: dict[str, dict[str, str]]) -> Origin:
    """Every source has its part, or the base alone; their licence only where all have the same one, else `other`."""
    names = [name for role, name in inputs.items() if role == "base" or "base" not in licences]
    known = list(licences.values())
    same = known[0] if all(licence == known[0] for licence in known) else {}
    licence = same or ({"license": "other"} if all(known) else {})
    return Origin(names, licence, licence_list(licences, inputs))


CARD = Card(
    template="mapanything_llava3d", title="LLaVA-3D with an action expert", values=llava3d_values, origin=of_parts
)
