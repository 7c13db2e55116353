"""What README.md of a CogVLA, OpenVLA-OFT or OpenVLA checkpoint says."""

from typing import Any

from ..family_card import Card, code, count, listed, new_tensors, new_text, untrained_text


def cogvla_values(config: Any, report: dict) -> dict[str, str]:
    """config: a `CogVLAConfig`."""
    views, inputs, layers = config.num_images_in_input, report["inputs"], sorted(config.lfp_keep_ratios)
    state = ["the robot's state"] if config.proprio_dim else []
    return {
        "warning": untrained_text(report),
        "made": "Created" if new_tensors(report) else "Converted",
        "new": new_text(report),
        "reads": listed([count(views, "camera image"), "an instruction", *state]),
        "chunk": "one action" if config.num_action_chunks == 1 else f"a chunk of {config.num_action_chunks} actions",
        "images": "[" + ", ".join(f'Image.open("view_{i}.png")' for i in range(views)) + "]",
        "base": code(inputs["base"]) if "base" in inputs else "merged already when it was converted",
        "action_head": f"`{config.action_head}`, `{config.action_attention}` attention",
        "views": str(views),
        "fusion": config.vision_aggregate_type,
        "film": ", FiLM" if config.use_film else "",
        "aggregation": f", {count(config.num_vision_aggr, 'aggregation token')} a view" if config.use_aggr else "",
        "pruning": f"layers {layers[0]} to {layers[-1]}, `{config.lfp_type}`" if layers else "none",
    }


CARD = Card(template="cogvla", values=cogvla_values)
