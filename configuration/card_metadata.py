"""The metadata of a card, in words that the Hub takes, and what they say for people."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCard

from .card_licence import hub_licence, licence_name
from .card_markdown import code
from .card_stamp import is_stamped

KEPT = ("license", "base_model", "datasets")  # of an older card's metadata: they hold for what was made of it, too
NOT_RECORDED = "not recorded"
ORIGIN = """## Licence and origin

- licence: {licence}
- base model: {base_model}
- datasets: {datasets}

This page was written from the config when the weights were saved: how they were trained is known where it says so."""


def pipeline_of(config: Any) -> str:
    """The Hub's word for the task of a model of ours."""
    return "image-text-to-text" if config.predicts == "text" else "robotics"


def kept_metadata(known: str | None) -> dict[str, Any]:
    """What an older card of ours says of licence and origin."""
    data = ModelCard(known).data.to_dict() if known and is_stamped(known) else {}
    kept = {name: data[name] for name in data if name in KEPT and name != "license"}
    return hub_licence(data) | kept


def origin_text(data: Mapping[str, Any]) -> str:
    """What metadata say of licence and origin, for people, and that the rest is unknown."""
    names = {name: data.get(name) or [] for name in ("base_model", "datasets")}
    lists = {name: [value] if isinstance(value, str) else value for name, value in names.items()}
    shown = {name: ", ".join(code(value) for value in values) or NOT_RECORDED for name, values in lists.items()}
    return ORIGIN.format(licence=licence_name(data) if data.get("license") else NOT_RECORDED, **shown)
