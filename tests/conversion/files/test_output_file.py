"""One output file: it appears at once, and replaces nothing else."""

import os

import pytest

from vlahub.conversion.files.output_file import check_output_file, result_file
from vlahub.errors import InputError


def test_a_link_as_output_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "out.json")
    with result_file(tmp_path / "link.json", lambda path: False) as file:
        file.write_text("new")
    assert (tmp_path / "link.json").is_symlink() and os.listdir(tmp_path / "real") == ["out.json"]


def test_what_appears_meanwhile_is_kept(tmp_path):
    output = tmp_path / "out.json"
    with pytest.raises(InputError, match="exists"), result_file(output, lambda path: False) as file:
        file.write_text("ours")
        output.write_text("theirs")
    assert output.read_text() == "theirs" and os.listdir(tmp_path) == ["out.json"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_regular_file_is_not_replaced(make, tmp_path):
    make(tmp_path / "out.json")
    with pytest.raises(InputError, match="no result"):
        check_output_file(tmp_path / "out.json", lambda path: True)
