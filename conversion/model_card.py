"""README.md of a checkpoint: metadata for the Hub, and a page filled from the config and the conversion report."""

import json
import math
from collections import Counter
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml
from huggingface_hub import ModelCardData, metadata_load
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..configuration.checkpoint_card import CARD_NAME, PLACEHOLDER, stamped, statistics_row
from ..configuration.cogvla.configuration_cogvla import CogVLAConfig
from ..configuration.normalization_statistics import STATISTICS
from .assumptions import assumptions_text

FOREIGN_CODE = """## Code

{names} came with the base model and was not written or checked by vlahub; `trust_remote_code=True` runs it."""
UNKNOWN_LICENCE = "Not recorded where this checkpoint was made; the terms of the base model apply."


def write_model_card(folder: Path, config: CogVLAConfig, report: dict, base_folder: Path | None = None) -> None:
    """Fill the family's template in `model_cards/`.

    Args:
        report: the content of `conversion_report.json`.
        base_folder: the base model; its own README.md says under which licence it may be passed on.
    """
    licence = base_licence(base_folder)
    text = filled("cogvla", card_values(config, report) | {"licence": licence_text(licence)})
    save_card(folder, card_metadata(config, report, licence), text, report, config)


def filled(name: str, values: dict[str, str]) -> str:
    """A template of `model_cards/` with these values in it."""
    template = files("vlahub.model_cards").joinpath(f"{name}.md").read_text(encoding="utf-8")
    return Template(template).substitute(values)


def save_card(folder: Path, metadata: ModelCardData, text: str, report: dict, config: Any = None) -> None:
    """Write README.md; config: that the card was filled from, `None` for a model that is not one of ours."""
    if names := report.get("foreign_code"):
        text = f"{text.rstrip()}\n\n{FOREIGN_CODE.format(names=listed([code(name) for name in names]))}\n"
    card = stamped(f"---\n{metadata.to_yaml()}\n---\n\n{text}", config)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")


def card_metadata(config: CogVLAConfig, report: dict, licence: dict[str, str]) -> ModelCardData:
    """What the Hub searches by; base and datasets only where they are repositories."""
    base = report["inputs"].get("base", "")
    return ModelCardData(
        base_model=base if is_repository(base) else None,
        datasets=[key for key in sorted(config.norm_stats) if is_repository(key)] or None,
        library_name="transformers",
        pipeline_tag="robotics",
        tags=["robotics", "vision-language-action", config.model_type],
        **licence,
    )


def is_repository(name: str) -> bool:
    """Whether a name has the form `owner/name` of the Hub; a folder's own name has no slash."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name


def base_licence(base_folder: Path | None) -> dict[str, str]:
    """`license` and what belongs to it, from the base's model card; empty where nothing is known.

    A link into the base's own repository would lead nowhere from another one and is left out.
    """
    card = base_folder / "README.md" if base_folder else None
    try:
        known = (metadata_load(card) if card and card.is_file() else None) or {}
    except (ValueError, yaml.YAMLError):  # a damaged card says nothing
        return {}
    found = {k: v for k in ("license", "license_name", "license_link") if (v := known.get(k)) and isinstance(v, str)}
    if not found.get("license_link", "https://").startswith("https://"):
        del found["license_link"]
    return found if "license" in found else {}


def licence_text(licence: dict[str, str]) -> str:
    return f"{licence_name(licence)}, inherited from the base model." if licence else UNKNOWN_LICENCE


def licence_name(licence: dict[str, str]) -> str:
    """As in a sentence, with a link where there is one."""
    link = f" ({licence['license_link']})" if "license_link" in licence else ""
    return code(licence.get("license_name", licence["license"])) + link


def card_values(config: CogVLAConfig, report: dict) -> dict[str, str]:
    views, state, inputs = config.num_images_in_input, config.proprio_dim, report["inputs"]
    layers = sorted(config.lfp_keep_ratios)
    key = min(config.norm_stats, default=None)
    return {
        "title": inputs.get("run", "A vision-language-action model"),
        "reads": listed(
            [count(views, "camera image"), "an instruction", *["the robot's state"] * bool(config.proprio_dim)]
        ),
        "chunk": "one action" if config.num_action_chunks == 1 else f"a chunk of {config.num_action_chunks} actions",
        "repository": PLACEHOLDER,
        "images": "[" + ", ".join(f'Image.open("view_{i}.png")' for i in range(views)) + "]",
        "state_line": f"    state=[0.0] * {config.proprio_dim},  # in the robot's units\n"
        if config.proprio_dim
        else "",
        "unnorm_key": json.dumps(key),
        "base": code(inputs["base"]) if "base" in inputs else "merged already when it was converted",
        "action_head": f"`{config.action_head}`, `{config.action_attention}` attention",
        "shape": f"(batch, {config.num_action_chunks}, {config.action_dim})",
        "normalization": f"`{config.normalization_type}`: {' and '.join(STATISTICS[config.normalization_type])} "
        "of each dimension",
        "statistics": "\n".join(statistics_row(config.norm_stats[key], key) for key in sorted(config.norm_stats)),
        "views": str(views),
        "proprio": f"{state} values" if state else "none",
        "fusion": config.vision_aggregate_type,
        "film": ", FiLM" if config.use_film else "",
        "aggregation": f", {count(config.num_vision_aggr, 'aggregation token')} a view" if config.use_aggr else "",
        "pruning": f"layers {layers[0]} to {layers[-1]}, `{config.lfp_type}`" if layers else "none",
        "parameters": parameters_text(report),
        "assumed": assumptions_text(report),
        "inputs": listed([f"{role} {code(name)}" for role, name in sorted(inputs.items())]),
    }


def parameters_text(report: dict) -> str:
    """The total, and the share of each part of the model."""
    parts: Counter[str] = Counter()
    for name, tensor in report["tensors"].items():
        parts[name.split(".")[0]] += math.prod(tensor["shape"])
    shares = ", ".join(f"`{name}` {size:,}" for name, size in parts.most_common())
    return f"{parts.total():,} in {report['dtype']} ({shares})"


def code(name: str) -> str:
    return f"`{name}`"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listed(items: list[str]) -> str:
    """`["a", "b", "c"]` -> `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
