"""The command line as a report and a card show it: no paths, and only what changes the result."""

from pathlib import Path

import pytest

from vlahub.conversion.commands.told_command import told_command

LINES = {
    "vlahub merge-lora --base /x/y/base --adapter run --output /z/out --quiet --device cuda": (
        "merge-lora --base base --adapter run --output OUTPUT"
    ),
    "vlahub convert you/a-vla /z/out --overwrite --push-to-hub me/mine": "vlahub convert you/a-vla OUTPUT",
    "vlahub assemble --family a --vision /x/v --output /z/out": "vlahub create --family a --vision v --output OUTPUT",
    "merge-lora --base=/x/base --card=keep --output=/z/out": "merge-lora --base=base --output=OUTPUT",
}


@pytest.mark.parametrize("line,told", LINES.items())
def test_a_command_line_is_told_without_paths(line, told):
    assert told_command(line, Path("/z/out")) == told
