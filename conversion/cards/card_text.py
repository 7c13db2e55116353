"""The text of a card for `vlahub card`: the one that is there where it is to be kept, or one from report and config."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from ...configuration.card_example import (
    EXAMPLE_BLOCK,
    FORMER_EXAMPLE,
    PLACE,
    REPOSITORY,
    edited_blocks,
    find_block,
    has_place,
)
from ...configuration.card_metadata import kept_metadata
from ...configuration.card_weights import sizes_block, stored_tensors
from ...configuration.checkpoint_card import (
    CARD_NAME,
    PLACEHOLDER,
    checkpoint_card,
    is_of,
    is_repository,
    is_unedited,
)
from ...configuration.vla_errors import ConversionError
from ..families import OURS
from ..family_card import UNKNOWN_LICENCE, Card, Origin
from ..model_card import card_text

LICENCE = re.compile(r"(?ms)^## Licence\n+(.*?)(?=^## |\Z)")


def text_to_complete(folder: Path, known: str | None, config: Any, report: dict) -> str:
    """A card with a place for the example; what somebody wrote in it is all there.

    Args:
        known: README.md as it is, `None` where there is none.
        report: the content of `conversion_report.json`, empty where there is none.

    Raises:
        ConversionError: somebody wrote in the example itself, or a card that is not ours has no place for it.
    """
    if known is None or is_unedited(known):
        if known is not None and is_of(known, config):
            if find_block(known, EXAMPLE_BLOCK):
                return known
            if not report and FORMER_EXAMPLE.search(known):
                return FORMER_EXAMPLE.sub(PLACE, known, count=1)
        return new_text(folder, known, config, report)
    path = folder / CARD_NAME
    if edited := edited_blocks(known):
        raise ConversionError(
            f"{path}: somebody wrote in what vlahub card renews ({', '.join(edited)}): move those words out of the two "
            f"comments around it, or put {PLACE} in the place of the whole block for a new one."
        )
    if not has_place(known):
        raise ConversionError(
            f"{path} was edited, or vlahub did not write it, and stays as it is: put a line {PLACE} where the example "
            "is to stand, or move the file away for a new card."
        )
    return known


def new_text(folder: Path, known: str | None, config: Any, report: dict) -> str:
    """As a conversion writes it, or from the config alone; licence and origin are those of the older card."""
    repository = repository_in(known)
    if not report.get("tensors"):
        sizes = sizes_block(stored_tensors(folder), config.weight_parts)
        return checkpoint_card(config, repository, known, sizes)
    card = OURS[config.model_type].card
    return card_text(folder, card, config, report, origin_of(card, known, report), repository)


def origin_of(card: Card, known: str | None, report: dict) -> Origin:
    """From the report, or from an older card where the report is of a release that did not note licences."""
    if "licences" in report:
        return card.origin(report["inputs"], report["licences"])
    metadata, found = kept_metadata(known), LICENCE.search(known or "")
    licence = {name: value for name, value in metadata.items() if name.startswith("license")}
    base = metadata.get("base_model", report["inputs"].get("base", ""))
    return Origin(base, licence, found[1].strip() if found else UNKNOWN_LICENCE)


def repository_in(known: str | None) -> str:
    """The repository that a card loads from, where it names one."""
    found = REPOSITORY.search(known or "")
    name = found[1].strip('"') if found else PLACEHOLDER
    return name if is_repository(name) else PLACEHOLDER


def check_metadata(text: str) -> None:
    """Raises ConversionError for front matter that the Hub's library cannot read."""
    try:
        ModelCard(text)
    except Exception as error:
        reason = f"{CARD_NAME}: its metadata, between the first two lines ---, cannot be read ({type(error).__name__})"
        raise ConversionError(f"{reason}; mend it first.") from error
