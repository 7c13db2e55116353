"""README.md of a checkpoint: metadata for the Hub, and a page filled from the config and the conversion report."""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml
from huggingface_hub import ModelCardData, metadata_load

from ..configuration.card_licence import hub_licence
from ..configuration.card_markdown import code, fenced, words
from ..configuration.card_metadata import pipeline_of
from ..configuration.card_snippet import EXAMPLE, Asked
from ..configuration.card_weights import reported_tensors, sizes_block
from ..configuration.checkpoint_card import CARD_NAME, PLACEHOLDER, card_body, is_repository, stamped
from .assumptions import assumptions_text
from .family_card import Card, Origin, listed, new_tensors, new_text, untrained_text
from .files.json_file import read_json
from .untrained_tensors import untrained_in

FOREIGN_CODE = """## Code

{names} came with the base model and was not written or checked by vlahub; `trust_remote_code=True` runs it."""
PRECISION = " It has the error of each weight of lower precision, too (`relative_error`)."
COMMAND = """

With vlahub {vlahub}, transformers {transformers} and torch {torch}"""


def write_card(folder: Path, card: Card, config: Any, report: dict, sources: dict[str, Path]) -> None:
    """Write README.md of a checkpoint of one of our families.

    Args:
        report: the content of `conversion_report.json`; it gets `licences`, those of the sources, so that the card can
            be written again without them.
        sources: folders by their role; their own README.md say under which licences they may be passed on.
    """
    report["licences"] = {role: base_licence(source) for role, source in sources.items()}
    origin = card.origin(report["inputs"], report["licences"])
    (folder / CARD_NAME).write_text(card_text(folder, card, config, report, origin), encoding="utf-8")


def card_text(
    folder: Path,
    card: Card,
    config: Any,
    report: dict,
    origin: Origin,
    repository: str = PLACEHOLDER,
    asked: Asked = EXAMPLE,
    seen: str = "",
) -> str:
    """README.md of a checkpoint that was converted; asked, seen: what its example asks, and what that showed."""
    body = card_body(
        config,
        repository,
        asked,
        seen,
        sizes=sizes_block(reported_tensors(report["tensors"]), config.weight_parts),
        facts=source_facts(folder, config, report),
        names=card.dimension_names(report),
    )
    values = card_values(card, config, report) | {"usage": body, "licence": origin.licence_text}
    values |= card.values(config, report)
    return finished(card_metadata(card, config, report, origin), filled(card.template, values), report, config)


def filled(name: str, values: dict[str, str]) -> str:
    """A template of `model_cards/` with these values in it."""
    template = files("vlahub.model_cards").joinpath(f"{name}.md").read_text(encoding="utf-8")
    return Template(template).substitute(values)


def finished(metadata: ModelCardData, text: str, report: dict, config: Any = None) -> str:
    """The whole card; config: that it was filled from, `None` for a model that is not one of ours."""
    if names := report.get("foreign_code"):
        text = f"{text.rstrip()}\n\n{FOREIGN_CODE.format(names=listed([code(name) for name in names]))}\n"
    return stamped(f"---\n{metadata.to_yaml()}\n---\n\n{text}", config)


def source_facts(folder: Path, config: Any, report: dict) -> dict[str, str]:
    """What a config does not say: the base, and the prompt that the processor writes."""
    processor = read_json([folder], "processor_config.json", required=False) or {}
    base = {"base model": code(report["inputs"]["base"])} if "base" in report.get("inputs", {}) else {}
    words = {"prompt": processor.get("prompt_template"), "request": processor.get("request")}
    return base | {name: code(text) for name, text in words.items() if text and name not in config.facts}


def card_metadata(card: Card, config: Any, report: dict, origin: Origin) -> ModelCardData:
    """What the Hub searches by; base and datasets only where they are repositories."""
    return ModelCardData(
        base_model=repositories(origin.base_model),
        datasets=repositories(sorted(config.norm_stats)),
        library_name="transformers",
        pipeline_tag=pipeline_of(config),
        tags=[*card.tags, config.model_type, *(["untrained"] if untrained_in(report) else [])],
        **origin.licence,
    )


def repositories(names: str | list[str]) -> str | list[str] | None:
    """Those that are repositories on the Hub, `None` where none is."""
    if isinstance(names, str):
        return names if is_repository(names) else None
    return [name for name in names if is_repository(name)] or None


def base_licence(base_folder: Path) -> dict[str, str]:
    """`license` and what belongs to it, from the base's model card; empty where nothing is known."""
    return hub_licence(card_metadata_of(base_folder))


def card_metadata_of(folder: Path) -> dict[str, Any]:
    """What the card of a folder says to the Hub; empty where there is none, or a damaged one."""
    card = folder / CARD_NAME
    try:
        found = metadata_load(card) if card.is_file() else None
    except (ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def card_values(card: Card, config: Any, report: dict) -> dict[str, str]:
    """What templates ask for; most ask for some of it."""
    inputs = report["inputs"]
    return {
        "title": words(inputs.get("run", card.title)),
        "verb": verb_of(report),
        "inputs": listed([f"{words(role)} {code(name)}" for role, name in sorted(inputs.items())]),
        "warning": untrained_text(report),
        "new": new_text(report),
        "constants": "",
        "precision": PRECISION if config.weight_quantization else "",
        "command": command_text(report),
        "assumed": assumptions_text(report),
    }


def verb_of(report: dict) -> str:
    """What was done, by what it was done with."""
    roles = report["inputs"]
    if "base" in roles:
        return "Merged" if "run" in roles else "Created"
    return "Assembled" if new_tensors(report) else "Converted"


def command_text(report: dict) -> str:
    """By which command and versions it was made; empty where the report does not say."""
    if "made_with" not in report:
        return ""
    text = COMMAND.format(**report["made_with"])
    return f"{text}:\n\n{fenced(report['command'], 'bash')}" if report.get("command") else f"{text}."
