"""README.md of a checkpoint: metadata for the Hub, and a page filled from the config and the conversion report."""

import json
from collections import Counter
from importlib.resources import files
from math import prod
from pathlib import Path
from string import Template
from typing import Any

import yaml
from huggingface_hub import ModelCardData, metadata_load

from ..configuration.checkpoint_card import (
    CARD_NAME,
    PLACEHOLDER,
    card_body,
    is_repository,
    stamped,
    statistics_row,
)
from ..configuration.normalization_statistics import STATISTICS
from ..configuration.weight_quantization import describe_quantization
from .assumptions import assumptions_text
from .family_card import Card, Origin, code, listed, new_tensors

FOREIGN_CODE = """## Code

{names} came with the base model and was not written or checked by vlahub; `trust_remote_code=True` runs it."""


PRECISION = """## Precision

{sentence} `conversion_report.json` has the error of each weight (`relative_error`)."""


def write_card(folder: Path, card: Card, config: Any, report: dict, sources: dict[str, Path]) -> None:
    """Write README.md of a checkpoint of one of our families.

    Args:
        report: the content of `conversion_report.json`.
        sources: folders by their role; their own README.md say under which licences they may be passed on.
    """
    origin = card.origin(report["inputs"], {role: base_licence(source) for role, source in sources.items()})
    values = card_values(card, config, report) | {"licence": origin.licence_text}
    save_card(folder, card_metadata(card, config, report, origin), filled(card.template, values), report, config)


def filled(name: str, values: dict[str, str]) -> str:
    """A template of `model_cards/` with these values in it."""
    template = files("vlahub.model_cards").joinpath(f"{name}.md").read_text(encoding="utf-8")
    return Template(template).substitute(values)


def save_card(folder: Path, metadata: ModelCardData, text: str, report: dict, config: Any = None) -> None:
    """Write README.md; config: that the card was filled from, `None` for a model that is not one of ours."""
    if names := report.get("foreign_code"):
        text = f"{text.rstrip()}\n\n{FOREIGN_CODE.format(names=listed([code(name) for name in names]))}\n"
    settings = getattr(config, "weight_quantization", None)
    if settings and (sentence := describe_quantization(settings)) not in text:
        text = f"{text.rstrip()}\n\n{PRECISION.format(sentence=sentence)}\n"
    card = stamped(f"---\n{metadata.to_yaml()}\n---\n\n{text}", config)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")


def card_metadata(card: Card, config: Any, report: dict, origin: Origin) -> ModelCardData:
    """What the Hub searches by; base and datasets only where they are repositories."""
    return ModelCardData(
        base_model=repositories(origin.base_model),
        datasets=repositories(sorted(config.norm_stats)),
        library_name="transformers",
        pipeline_tag="robotics",
        tags=[*card.tags, config.model_type, *(["untrained"] if new_tensors(report) else [])],
        **origin.licence,
    )


def repositories(names: str | list[str]) -> str | list[str] | None:
    """Those that are repositories on the Hub, `None` where none is."""
    if isinstance(names, str):
        return names if is_repository(names) else None
    return [name for name in names if is_repository(name)] or None


def base_licence(base_folder: Path) -> dict[str, str]:
    """`license` and what belongs to it, from the base's model card; empty where nothing is known.

    A link into the base's own repository would lead nowhere from another one and is left out.
    """
    card = base_folder / CARD_NAME
    try:
        known = (metadata_load(card) if card.is_file() else None) or {}
    except (ValueError, yaml.YAMLError):  # a damaged card says nothing
        return {}
    found = {k: v for k in ("license", "license_name", "license_link") if (v := known.get(k)) and isinstance(v, str)}
    if not found.get("license_link", "https://").startswith("https://"):
        del found["license_link"]
    return found if "license" in found else {}


def card_values(card: Card, config: Any, report: dict) -> dict[str, str]:
    """What templates ask for; most ask for some of it."""
    inputs = report["inputs"]
    made = "Assembled" if new_tensors(report) else "Merged" if "base" in inputs else "Converted"
    return {
        "title": inputs.get("run", card.title),
        "repository": PLACEHOLDER,
        "usage": card_body(config, PLACEHOLDER),
        "parameters": parameters_text(report),
        "verb": made,
        "inputs": listed([f"{role} {code(name)}" for role, name in sorted(inputs.items())]),
        "assumed": assumptions_text(report),
        **({} if config.normalization_type is None else robot_values(config)),
        **card.values(config, report),
    }


def robot_values(config: Any) -> dict[str, str]:
    """Of a model that un-normalises actions."""
    state, statistics, key = config.state_size, config.norm_stats, min(config.norm_stats, default=None)
    rows = [statistics_row(statistics[name], name) for name in sorted(statistics)]
    names = " and ".join(STATISTICS[config.normalization_type])
    return {
        "state_line": f"    state=[0.0] * {state},  # in the robot's units\n" if state else "",
        "unnorm_key": "None" if key is None else json.dumps(key),
        "shape": f"(batch, {config.num_action_chunks}, {config.action_dim})",
        "state": f"{state} values" if state else "none",
        "normalization": f"`{config.normalization_type}`: {names} of each dimension",
        "statistics": "\n".join(rows) or "| none yet | | | |",
    }


def parameters_text(report: dict) -> str:
    """The total, and the share of each part of the model; scales of quantised weights are no parameters."""
    parts: Counter[str] = Counter()
    for name, tensor in report["tensors"].items():
        parts[name.split(".")[0]] += prod(tensor.get("of_shape", tensor["shape"]))
    shares = ", ".join(f"`{name}` {size:,}" for name, size in parts.most_common())
    return f"{parts.total():,} in {report['dtype']} ({shares})"
