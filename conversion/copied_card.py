"""README.md of a checkpoint of ours that was made of another one, in lower precision."""

import re
from pathlib import Path
from typing import Any

from ..configuration.card_markdown import code, sections
from ..configuration.card_metadata import kept_metadata, origin_text
from ..configuration.card_weights import reported_tensors
from ..configuration.checkpoint_card import CARD_NAME, body_of, is_stamped, is_unedited, write_checkpoint_card
from .family_card import untrained_text
from .model_card import command_text

MADE = """## How it was made

Of {source}, whose linear layers were stored in lower precision; `conversion_report.json` names the source of every
tensor, and its error (`relative_error`).{command}"""
ORIGIN = re.compile(r"^## (?:How it was made|Licence and origin)\n", re.MULTILINE)
REPORT = "`conversion_report.json` names"  # another one lies beside the copy


def write_copied_card(folder: Path, config: Any, report: dict) -> None:
    """Write README.md anew: how this was made, and how its source was, as far as the source's card says it.

    folder: with the card of the source in it, if there is one; one that was edited stays.
    """
    path = folder / CARD_NAME
    known = path.read_text(encoding="utf-8") if path.is_file() else None
    source = code(report["inputs"]["run"])
    made = MADE.format(source=source, command=command_text(report))
    write_checkpoint_card(
        folder,
        config,
        tensors=reported_tensors(report["tensors"]),
        origin=sections(made, origin_of(known, source)),
        warning=untrained_text(report),
    )


def origin_of(known: str | None, source: str) -> str:
    """The end of a card of ours, from where it says how the checkpoint was made; licence and base model of others."""
    ours = known is not None and is_stamped(known) and is_unedited(known)
    found = list(ORIGIN.finditer(body_of(known))) if ours else []
    if not found:
        return origin_text(kept_metadata(known))
    text = body_of(known)[found[-1].start() :].replace("## How it was made\n", f"## How {source} was made\n", 1)
    return text.replace(REPORT, f"its own {REPORT}")
