"""Policies of tiny checkpoints."""

import sys
from pathlib import Path

import pytest
import transformers
from families import FAMILIES, STATE
from tiny_configs import bounds

from vlahub.conversion.serving.robot_policy import robot_policy_of

sys.path.append(str(Path(__file__).parents[3] / "examples"))
from tiny_models import write_model


def make_cogvla(folder):
    """With a head that draws nothing; not merged from a run, which takes ten seconds."""
    statistics = {"demo_tabletop": {"action": bounds(7) | {"names": list("abcdefg")}, "proprio": bounds(len(STATE))}}
    write_model("cogvla", folder, norm_stats=statistics)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.norm_stats = statistics
    processor.save_pretrained(folder)
    return folder


MAKERS = {name: family.make for name, family in FAMILIES.items()} | {"cogvla": make_cogvla}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """The folder of a family's checkpoint, made once."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.fixture(scope="session")
def policy_of(folder_of):
    """The policy of a family's checkpoint, loaded once."""
    made = {}

    def policy(name):
        if name not in made:
            made[name] = robot_policy_of(folder_of(name))
            made[name].load("cpu")
        return made[name]

    return policy
