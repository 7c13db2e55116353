"""docs/lerobot.md names options that are there, and all of them."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from lerobot.configs.policies import PreTrainedConfig
from lerobot_policy_vlahub.__main__ import parser
from lerobot_policy_vlahub.configuration_vlahub import VlahubConfig

PAGE = (Path(__file__).parents[3] / "docs" / "lerobot.md").read_text(encoding="utf-8")
SETTLED = {"chunk_size", "normalization_mapping"}  # what they are is the checkpoint's


def test_the_table_has_every_option():
    known = {field.name for field in fields(VlahubConfig)}
    own = known - {field.name for field in fields(PreTrainedConfig)} - SETTLED
    rows = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert own <= rows | {"device"} and rows <= known
    assert set(re.findall(r"--policy\.(\w+)", PAGE)) <= known | {"type", "path"}


def test_the_commands_of_the_package_are_command_lines():
    for words in re.findall(r"^    python -m lerobot_policy_vlahub (?!.*=)(.*)$", PAGE, re.M):
        assert parser().parse_args(words.split()).checkpoint == "you/your-vla"


@pytest.mark.parametrize("views", ["{", '["primary"]', '{"primary": 1}'])
def test_views_of_another_form_are_wrong_usage(views, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["you/your-vla", "my-policy", "--views", views])
    assert f"argument --views: {views!r} is" in capsys.readouterr().err
