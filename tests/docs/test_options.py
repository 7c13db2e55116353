"""Options that pages speak of in running text are options of a command; blocks are parsed by `test_pages.py`."""

import argparse
import re
from pathlib import Path

import pytest
from page_blocks import PAGES, REPOSITORY

from vlahub.conversion.cli import make_parser
from vlahub.conversion.families import FAMILIES

SPAN = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-zA-Z][\w-]*")
FOREIGN = {
    "--check": "of sha256sum",
    "--checks": "of python -m benchmarks.card",
    "--demonstrations": "of examples/closed_loop/metaworld_demo.py",
    "--env": "of lerobot-eval",
    "--image_aug": "of published training code, part of a run's name",
    "--inference": "of lerobot-rollout",
    "--mixed_precision": "of accelerate launch",
    "--model": "of examples/finetune.py",
    "--multi_gpu": "of accelerate launch",
    "--no-deps": "of pip",
    "--num_processes": "of accelerate launch",
    "--nproc_per_node": "of torchrun",
    "--peft": "of lerobot-train",
    "--policy": "of LeRobot; integrations/lerobot_policy_vlahub/tests/test_docs.py knows what may follow",
    "--rename_map": "of LeRobot",
    "--sample_weighting": "of lerobot-train",
    "--stages": "of examples/stages.py",
    "--training": "of examples/stages.py",
    "--views": "of python -m lerobot_policy_vlahub",
    "--vla_server_url": "of the published evaluation scripts",
}


def options(parser: argparse.ArgumentParser) -> set[str]:
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*map(options, action.choices.values()))
    return found


@pytest.fixture(scope="module")
def known() -> set[str]:
    found = options(make_parser(["train", "--help-all"]))
    for family in FAMILIES:
        found |= options(make_parser(["create", "--family", family]))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_options_in_running_text_exist(page, known):
    spans = SPAN.findall((Path(REPOSITORY) / page).read_text(encoding="utf-8"))
    told = {option for span in spans for option in OPTION.findall(span)}
    assert told <= known | FOREIGN.keys(), sorted(told - known - FOREIGN.keys())
