"""What the card of a LLaVA-3D checkpoint says about its parts."""

from typing import Any

from ..card_markdown import code, stack_text


def llava3d_facts(config: Any) -> dict[str, str]:
    """Rows of the table, Markdown by name; config: a `MapAnythingLlava3DConfig`."""
    return {
        "vision tower": f"SigLIP, {stack_text(config.vision_config)}, {config.vision_config.image_size} pixels",
        "geometry": geometry_text(config),
        "language model": f"{config.text_config.model_type}, {stack_text(config.text_config)}",
        "attention among images and text": code(config.prefix_attention),
        "action expert": expert_text(config),
    }


def geometry_text(config: Any) -> str:
    if not config.use_geometric_branch:
        return "none"
    geometry = config.geometry_config
    sharing = f"{geometry.info_sharing_num_hidden_layers} of width {geometry.info_sharing_hidden_size}"
    return (
        f"MapAnything, {stack_text(geometry)}, {sharing} over all views, pixels {code(config.geometry_normalization)}"
    )


def expert_text(config: Any) -> str:
    """The action experts, in the order in which they work."""
    parts = []
    if config.has_deep_fusion:
        parts.append(f"{stack_text(config.expert_config)}, joined to the language model's layers")
    if config.has_dit:
        parts.append(
            f"DiT head, {config.dit_config.num_hidden_layers} blocks, context {code(config.dit_config.context)}"
        )
    if not parts:
        return "none: this model writes text"
    robots = f"; {config.num_embodiments} embodiments, `embodiment_id` says which" if config.num_embodiments > 1 else ""
    return "; ".join(parts) + f"; flow matching in {config.num_inference_steps} steps{robots}"
