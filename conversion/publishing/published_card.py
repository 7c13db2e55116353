"""Which README.md a repository gets: the folder's, or the one that it has."""

from dataclasses import dataclass
from pathlib import Path

from ...configuration.card_weights import sizes_block, stored_tensors
from ...configuration.checkpoint_card import (
    CARD_NAME,
    PLACEHOLDER,
    checkpoint_card,
    is_of,
    is_stamped,
    is_unedited,
    stamped_again,
)
from ..travelling.travelling_code import own_config

KEEP, RENEW = "keep", "renew"


@dataclass(frozen=True)
class PublishedCard:
    """The text that the repository will have, `None` for none, and what there is to say about it."""

    text: str | None
    notes: list[str]


def card_to_publish(folder: Path, repo_id: str, present: str | None, choice: str | None) -> PublishedCard:
    """Decide between the folder's card and the repository's.

    Args:
        present: the repository's, `None` where it has none.
        choice: "keep" or "renew"; `None` renews what was written here and not edited since.
    """
    text, notes = own_card(folder, repo_id)
    if present is None or text is None or text == present:
        return PublishedCard(present if text is None else text, notes)
    if choice == KEEP:
        return PublishedCard(present, [f"{CARD_NAME}: {repo_id} has one; it was left as it is."])
    if choice == RENEW or is_unedited(present):
        return PublishedCard(text, notes)
    note = (
        f"warning: {CARD_NAME}: {repo_id} has one that was edited, or that vlahub did not write; it was left as it is, "
        "and may say what is no longer true. --card renew replaces it."
    )
    return PublishedCard(present, [note])


def own_card(folder: Path, repo_id: str) -> tuple[str | None, list[str]]:
    """The folder's card with the name of the repository in it; written anew where the config says something else."""
    path = folder / CARD_NAME
    if not path.is_file():
        return None, []
    text, config = path.read_text(encoding="utf-8"), own_config(folder)
    if not is_unedited(text):
        return text.replace(PLACEHOLDER, repo_id), []
    if config is not None and is_stamped(text) and not is_of(text, config):
        note = f"{CARD_NAME}: the folder's was written for another config; it was written anew from config.json."
        sizes = sizes_block(stored_tensors(folder), config.weight_parts)
        return checkpoint_card(config, repo_id, text, sizes), [note]
    return stamped_again(text, text.replace(PLACEHOLDER, repo_id)), []
