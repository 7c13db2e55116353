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
    "vlahub create --family a --base /no/such/base --dry-run --try --output ./out": (
        "vlahub create --family a --base base --output out"
    ),
    "merge-lora --adapter 'my runs/a run' --adapter x/../runs --max-shard-size 5GB --seed 3 --output /z/out/": (
        "merge-lora --adapter 'a run' --adapter runs --seed 3 --output OUTPUT"
    ),
    "merge-lora --base=/x/base --card=keep --output=/z/out": "merge-lora --base=base --output=OUTPUT",
}


@pytest.mark.parametrize("line,told", LINES.items())
def test_a_command_line_is_told_without_paths(line, told):
    assert told_command(line, Path("/z/out")) == told


def test_a_folder_is_told_by_its_own_name_however_it_is_reached(tmp_path, monkeypatch):
    (tmp_path / "here" / "user" / "name").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to("user/name")
    monkeypatch.chdir(tmp_path / "here")
    line = "vlahub convert {} out --vlm someone/else"
    for word, told in {
        "./": "here",
        "user/..": "here",
        "./link": "name",
        "user/name": "name",
        "me/mine": "me/mine",
    }.items():
        assert told_command(line.format(word), Path("out")) == f"vlahub convert {told} OUTPUT --vlm someone/else"
