"""Demonstrations replace what demonstrations made, and nothing else."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "examples"))
from demo_folder import fresh_folder


def test_a_demonstrations_folder_is_made_and_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "below" / "new", tmp_path / "below" / "new", tmp_path / "empty"):
        folder = fresh_folder(place)
        (folder / "left over").write_text("")
        assert fresh_folder(place) == folder and not (folder / "left over").exists()


def test_nobody_elses_files_are_removed(tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no demonstration made"):
        fresh_folder(Path("."))
    assert (tmp_path / "mine.txt").read_text() == "mine"
