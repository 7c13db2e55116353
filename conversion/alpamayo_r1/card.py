"""What README.md of an Alpamayo-R1 checkpoint says."""

from typing import Any

from ..family_card import Card, Origin, licence_list, new_text

CONSTANTS = """ What the published files hold as buffers (statistics of the actions, frequencies) was compared
with the config, from which the model computes it."""
RELEASE = " The release is {release}."
ROWS = """ Embeddings and output embeddings have {count:,} new rows, around the mean of the base's, for the tokens of
trajectories."""


def alpamayo_values(config: Any, report: dict) -> dict[str, str]:
    """config: an `AlpamayoR1Config`."""
    release = report["settings"].get("release")
    said = RELEASE.format(release=release["value"]) if release else ""
    return {
        "constants": (CONSTANTS if "vlm" in report["inputs"] else "") + said,
        "new": new_text(report) + new_rows_text(report),
    }


def new_rows_text(report: dict) -> str:
    """Of embeddings that grew."""
    count = report["settings"].get("new_embedding_rows", {}).get("value", 0)
    return ROWS.format(count=count) if count else ""


def origin(inputs: dict[str, str], licences: dict[str, dict[str, str]]) -> Origin:
    """The weights are the run's, or the base's that it was merged into; of the vision-language model none are read."""
    role = "base" if "base" in licences else "run"
    return Origin(inputs.get(role, ""), licences[role], licence_list(licences, inputs))


CARD = Card(
    title="Alpamayo-R1",
    values=alpamayo_values,
    tags=("robotics", "autonomous-driving", "vision-language-action"),
    origin=origin,
)
