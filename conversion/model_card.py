"""README.md of a checkpoint, filled from its config and its conversion report."""

import math
from importlib.resources import files
from pathlib import Path
from string import Template

from ..configuration.configuration_cogvla import CogVLAConfig

PLACEHOLDER = "user/name"


def write_model_card(folder: Path, config: CogVLAConfig, report: dict) -> None:
    """Fill the family's template in `model_cards/`."""
    template = Template(files("vlahub.model_cards").joinpath(f"{report['family']}.md").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(template.substitute(card_values(config, report)), encoding="utf-8")


def card_values(config: CogVLAConfig, report: dict) -> dict[str, str]:
    views, keys = config.num_images_in_input, sorted(config.norm_stats)
    parameters = sum(math.prod(tensor["shape"]) for tensor in report["tensors"].values())
    layers = sorted(config.lfp_keep_ratios)
    return {
        "title": report["inputs"].get("run", "A vision-language-action model"),
        "views": "a camera image" if views == 1 else f"{views} camera images",
        "state": " and the robot's state" if config.proprio_dim else "",
        "chunk": "an action" if config.num_action_chunks == 1 else f"a chunk of {config.num_action_chunks} actions",
        "repository": PLACEHOLDER,
        "images": "[" + ", ".join(f'Image.open("view_{i}.png")' for i in range(views)) + "]",
        "state_argument": f", state=[0.0] * {config.proprio_dim}" if config.proprio_dim else "",
        "unnorm_key": keys[0],
        "unnorm_keys": ", ".join(f"`{key}`" for key in keys),
        "shape": f"(batch, {config.num_action_chunks}, {config.action_dim})",
        "action_head": f"`{config.action_head}`, `{config.action_attention}` attention",
        "normalization_type": config.normalization_type,
        "num_images": str(views),
        "proprio": f"{config.proprio_dim} values" if config.proprio_dim else "none",
        "fusion": config.vision_aggregate_type,
        "film": ", FiLM" if config.use_film else "",
        "aggregation": f", {config.num_vision_aggr} aggregation tokens a view" if config.use_aggr else "",
        "pruning": f"layers {layers[0]} to {layers[-1]}, `{config.lfp_type}`" if layers else "none",
        "parameters": f"{parameters:,}",
        "inputs": ", ".join(f"{role} `{name}`" for role, name in sorted(report["inputs"].items())),
    }
