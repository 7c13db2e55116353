"""What a model that is none of ours is, and which commands take it; policies of other projects by name."""

import re
from collections.abc import Mapping
from typing import Any

from ..families import OURS
from ..family import Family
from ..folders.folder_contents import published_family
from .inspection import NextStep
from .runs import quoted

# Policies of other projects, by what their config.json calls them, and with what they run.
STRANGERS = (
    (r"pi0\w*|pi_?0?5\w*|paligemma_with_expert", "pi0", "openpi or LeRobot"),
    (r"smolvla\w*", "SmolVLA", "LeRobot"),
    (r"gr00?t\w*", "GR00T", "Isaac-GR00T or LeRobot"),
    (r"xvla\w*|wall_x|octo\w*|rdt\w*|act|diffusion|vqbet|tdmpc\w*", "a policy of another project", "its own project"),
)
PLACEHOLDER = "PLACE"


def stranger(config: Mapping[str, Any]) -> str | None:
    """What a policy of another project is, in words; `None` for all else."""
    named = [config.get("type"), config.get("model_type"), *(config.get("architectures") or [])]
    for name in (name.lower() for name in named if isinstance(name, str)):
        for pattern, words, runs_with in STRANGERS:
            if re.fullmatch(pattern, name):
                return f"{words} ({name}), which vlahub neither loads nor converts; it runs with {runs_with}"
    return None


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
