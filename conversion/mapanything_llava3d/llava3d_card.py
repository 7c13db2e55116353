"""README.md of a LLaVA-3D checkpoint."""

import json
import math
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.normalization_statistics import STATISTICS
from ..assumptions import assumptions_text
from ..model_card import (
    PLACEHOLDER,
    base_licence,
    code,
    filled,
    is_repository,
    licence_name,
    listed,
    parameters_text,
    save_card,
    statistics_row,
)

UNTRAINED = """> **This checkpoint is not trained.** It is a starting point for training: parts of it hold random
> numbers, and so the actions that it predicts mean nothing.

"""
NEW = """

{count:,} of the tensors, {parameters:,} parameters, were initialised at random with seed {seed} and **never trained**:
{parts}. The rest is the published parts, number by number."""


def write_llava3d_card(folder: Path, config: MapAnythingLlava3DConfig, report: dict, sources: dict[str, Path]) -> None:
    """Fill `model_cards/mapanything_llava3d.md`.

    Args:
        report: the content of `conversion_report.json`.
        sources: folders by their role; their own README.md say under which licences they may be passed on.
    """
    licences = {role: base_licence(source) for role, source in sources.items()}
    values = card_values(config, report) | {"licence": licence_list(licences, report["inputs"])}
    save_card(folder, card_metadata(config, report, licences), filled("mapanything_llava3d", values), report, config)


def card_metadata(config: MapAnythingLlava3DConfig, report: dict, licences: dict[str, dict[str, str]]) -> ModelCardData:
    """What the Hub searches by. The licence only where all sources have the same one, else `other`."""
    known = list(licences.values())
    same = known[0] if all(licence == known[0] for licence in known) else {}
    named = {role: name for role, name in report["inputs"].items() if role == "base" or "base" not in licences}
    bases = [name for name in named.values() if is_repository(name)]
    untrained = ["untrained"] if new_tensors(report) else []
    return ModelCardData(
        base_model=bases or None,
        datasets=[key for key in sorted(config.norm_stats) if is_repository(key)] or None,
        library_name="transformers",
        pipeline_tag="robotics",
        tags=["robotics", "vision-language-action", config.model_type, *untrained],
        **(same or ({"license": "other"} if all(known) else {})),
    )


def licence_list(licences: dict[str, dict[str, str]], inputs: dict[str, str]) -> str:
    """One line for each source."""
    lines = [
        f"- {role}, {code(inputs[role])}: {licence_name(licence) if licence else 'not recorded where this was made'}"
        for role, licence in licences.items()
    ]
    return "The licence of each source applies to its part:\n\n" + "\n".join(lines)


def card_values(config: MapAnythingLlava3DConfig, report: dict) -> dict[str, str]:
    inputs, state = report["inputs"], config.state_dim if config.use_state else None
    key = min(config.norm_stats, default=None)
    new = new_tensors(report)
    return {
        "title": inputs.get("run", "LLaVA-3D with an action expert"),
        "warning": UNTRAINED if new else "",
        "reads": listed(["camera images", "an instruction", *["the robot's state"] * bool(state)]),
        "repository": PLACEHOLDER,
        "state_line": f"    state=[0.0] * {state},  # in the robot's units\n" if state else "",
        "unnorm_key": json.dumps(key) if key else "None",
        "shape": f"(batch, {config.action_horizon}, {config.action_dim})",
        "parameters": parameters_text(report),
        "assumed": assumptions_text(report),
        "vision": stack_text(config.vision_config) + f", {config.vision_config.image_size} pixels",
        "language": f"{config.text_config.model_type}, {stack_text(config.text_config)}",
        "geometry": geometry_text(config),
        "expert": expert_text(config),
        "prefix": config.prefix_attention,
        "state": f"{state} values" if state else "none",
        "normalization": f"`{config.normalization_type}`: {' and '.join(STATISTICS[config.normalization_type])} "
        "of each dimension",
        "statistics": "\n".join(statistics_row(config.norm_stats[key], key) for key in sorted(config.norm_stats))
        or "| none yet | | | |",
        "verb": "Assembled" if new else "Merged" if "base" in inputs else "Converted",
        "inputs": listed([f"{role} {code(name)}" for role, name in sorted(inputs.items())]),
        "new": new_text(new, report),
    }


def stack_text(config: Any) -> str:
    return f"{config.num_hidden_layers} layers of width {config.hidden_size}"


def geometry_text(config: MapAnythingLlava3DConfig) -> str:
    if not config.use_geometric_branch:
        return "none"
    geometry = config.geometry_config
    sharing = f"{geometry.info_sharing_num_hidden_layers} of width {geometry.info_sharing_hidden_size}"
    return f"MapAnything, {stack_text(geometry)}, {sharing} over all views, pixels `{config.geometry_normalization}`"


def expert_text(config: MapAnythingLlava3DConfig) -> str:
    """The action experts, in the order in which they work."""
    parts = []
    if config.has_deep_fusion:
        parts.append(f"{stack_text(config.expert_config)}, joined to the language model's layers")
    if config.has_dit:
        parts.append(f"DiT head, {config.dit_config.num_hidden_layers} blocks, context `{config.dit_config.context}`")
    return "; ".join(parts) or "none: this model writes text"


def new_tensors(report: dict) -> dict[str, dict]:
    return {name: tensor for name, tensor in report["tensors"].items() if tensor["operation"] == "initialised"}


def new_text(new: dict[str, dict], report: dict) -> str:
    if not new:
        return ""
    parameters = sum(math.prod(tensor["shape"]) for tensor in new.values())
    parts = listed([code(part) for part in sorted({name.split(".")[0] for name in new})])
    seed = report["settings"]["seed"]["value"]
    return NEW.format(count=len(new), parameters=parameters, seed=seed, parts=parts)
