"""What the card of a composed VLA says about its parts."""

from typing import Any

from ..card_markdown import code, stack_text


def composed_facts(config: Any) -> dict[str, str]:
    """Rows of the table, Markdown by name; config: a `MultimodalVLAConfig`."""
    facts = {name: code(text) for name, text in config.described.items()}
    if config.vlm_config is not None:
        language = size_text_of(config.vlm_config.get_text_config()).removeprefix(", ")
        facts["vision-language model"] += f"; its language model has {language}" if language else ""
    else:
        towers = [code(getattr(config, name).model_type) + size_text_of(part) for name, part in config.towers.items()]
        facts["vision tower"] = " and ".join(towers)
        facts["language model" if config.writes_text else "text encoder"] += size_text_of(config.text_config)
    if config.projector_type in ("perceiver", "qformer", "token_learner"):
        facts["projector"] += f", {config.num_latents} tokens for all views"
    if config.action_head == "flow":
        facts["action head"] += f", {config.num_inference_steps} steps of flow matching"
    return facts


def size_text_of(part: Any) -> str:
    """Of a stack of layers of one width; empty for any other model."""
    sizes = (getattr(part, name, None) for name in ("num_hidden_layers", "hidden_size"))
    return f", {stack_text(part)}" if all(isinstance(size, int) for size in sizes) else ""
