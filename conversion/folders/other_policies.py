"""Policies of other projects, which are neither loaded nor converted: what they are, by what, and why not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.run_files import read_run_config

LEROBOT_FOLDER = "pretrained_model"  # of a training of LeRobot, beside training_state
OPENPI_KEYS = {"paligemma_variant", "action_expert_variant"}  # of openpi's config.json, which names no model
ORBAX = ("params/_METADATA", "params/manifest.ocdbt")  # of openpi's checkpoints in JAX


@dataclass(frozen=True)
class OtherPolicy:
    """A kind of policy.

    Attributes:
        name: as people say it.
        pattern: of its names in config.json, in small letters.
        home: who saves checkpoints of it that they load whole, as they are.
    """

    name: str
    pattern: str
    home: str


PI0 = OtherPolicy("pi0", r"pi0\w*|pi_?0?5\w*|paligemma_with_expert", "openpi, LeRobot and transformers")
POLICIES = (
    PI0,
    OtherPolicy("SmolVLA", r"smolvla\w*", "LeRobot"),
    OtherPolicy("GR00T", r"gr00?t\w*|groot\w*", "Isaac-GR00T and LeRobot"),
    OtherPolicy("a policy of LeRobot", r"act|diffusion|vqbet|tdmpc\w*|xvla\w*|wall_x", "LeRobot"),
    OtherPolicy("a policy of another project", r"octo\w*|rdt\w*", "the project that it is from"),
)


def other_policy(folder: Path, config: Mapping[str, Any]) -> str | None:
    """What a policy of another project is and why it is not converted, in words; `None` for all else.

    config: the folder's config.json; empty where there is none.
    """
    inner = folder / LEROBOT_FOLDER
    if not config and (inner / "config.json").is_file():
        config = read_run_config(inner)
    for known_by in names_in(config):
        for policy in POLICIES:
            if re.fullmatch(policy.pattern, known_by.lower()):
                return words_of(policy, f"config.json says {known_by!r}")
    if config.keys() >= OPENPI_KEYS:
        return words_of(PI0, "a config.json of openpi")
    if any((folder / file).exists() for file in ORBAX) and list(folder.glob("assets/*/norm_stats.json")):
        return words_of(PI0, "a checkpoint of openpi in JAX")
    return None


def names_in(config: Mapping[str, Any]) -> Iterator[str]:
    """What a config.json calls its model: LeRobot's `type`, transformers' `model_type` and classes."""
    named = [config.get("type"), config.get("model_type"), *(config.get("architectures") or [])]
    yield from (name for name in named if isinstance(name, str))


def words_of(policy: OtherPolicy, known_by: str) -> str:
    several = " and " in policy.home
    return (
        f"{policy.name} ({known_by}), which vlahub neither loads nor converts: {policy.home} "
        f"{'load' if several else 'loads'} what {'they save' if several else 'it saves'}, and there is nothing to merge"
    )
