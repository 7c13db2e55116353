"""What a model that is none of ours is, and which commands take it."""

from collections.abc import Mapping
from typing import Any

from ..families import OURS
from ..family import Family
from ..folders.folder_contents import published_family
from .inspection import NextStep
from .runs import quoted

PLACEHOLDER = "PLACE"


def model_family(config: Mapping[str, Any]) -> Family | None:
    """The family of a published model."""
    return published_family(dict(config))


def family_by_name(name: str | None) -> Family | None:
    """The family whose runs start from a model of this model type, or whose own it is."""
    if name in OURS:
        return OURS[name]
    return next((family for family in OURS.values() if name in (*family.bases, *family.published)), None)


def uses_of(config: Mapping[str, Any], place: str) -> list[NextStep]:
    """The commands that take a base model."""
    lines = [line for family in OURS.values() for line in family.inspection.uses(config)]
    return [NextStep(line.replace(PLACEHOLDER, place if "Python" in line else quoted(place))) for line in lines]
