"""Where a checkpoint comes from: its conversion report, and the metadata of its card."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..files.file_kinds import CARD_NAME

FACTS = ("license", "license_name", "license_link", "base_model", "datasets")


def provenance_of(report: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a report says of how a checkpoint was made; `None` where there is none."""
    if not report:
        return None
    tensors = report.get("tensors") or {}
    settings = report.get("settings") or {}
    return {
        "family": report.get("family"),
        "inputs": report.get("inputs") or {},
        "dtype": report.get("dtype"),
        "settings": {name: dict(setting) for name, setting in settings.items() if isinstance(setting, dict)},
        "operations": dict(sorted(Counter(entry.get("operation") for entry in tensors.values()).items())),
        "leftovers": len(report.get("leftovers") or []),
        "foreign_code": list(report.get("foreign_code") or []),
        "transformers_version": config.get("transformers_version"),
    }


def card_facts(folder: Path) -> dict[str, Any]:
    """Licence, base model and datasets of a card's metadata; empty where there is no card, or a damaged one."""
    path = folder / CARD_NAME
    if not path.is_file():
        return {}
    head, mark, rest = path.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff").partition("---\n")
    if head.strip() or not mark:
        return {}
    try:
        known = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return {name: known[name] for name in FACTS if known.get(name)} if isinstance(known, dict) else {}
