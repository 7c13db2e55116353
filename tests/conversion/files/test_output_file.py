"""One output file: it appears at once, and replaces nothing else."""

import os
from pathlib import Path

import pytest

from vlahub.conversion.files.output_file import check_output_file, files_of, result_file
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


def test_a_failure_leaves_no_file_and_no_folder_that_was_made_for_it(tmp_path):
    output = tmp_path / "there" / "a" / "b" / "out.json"
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError), result_file(output, bool, make_parents=True) as file:
        assert file.parent == output.parent and file.suffix == ".json" and file.read_bytes() == b""
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["there"] and os.listdir(tmp_path / "there") == []
    with result_file(output, bool, make_parents=True) as file:
        file.write_text("new")
    assert os.listdir(output.parent) == ["out.json"] and output.read_text() == "new"


def test_folders_above_are_made_only_when_it_is_asked_for(tmp_path):
    output = tmp_path / "a" / "out.json"
    with pytest.raises(InputError, match="make the folder first"), result_file(output, bool):
        pass
    assert os.listdir(tmp_path) == []
    (tmp_path / "a").write_text("a file")
    named = pytest.raises(InputError, match=r"cannot be written: \w+ .*name another file")
    with named, result_file(output / "x", bool, make_parents=True):
        pass
    with pytest.raises(InputError, match=r"cannot be written: Not a directory \(.*/a\)\.$"), result_file(output, bool):
        pass


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_input_by_another_name_is_no_output(link, tmp_path):
    (tmp_path / "in.json").write_text("read")
    link(tmp_path / "in.json", tmp_path / "out.json")
    inputs = [tmp_path / "other.json", tmp_path / "in.json"]
    with pytest.raises(InputError, match="is an input of this command"):
        check_output_file(tmp_path / "out.json", lambda path: True, inputs)
    check_output_file(tmp_path / "out.json", lambda path: True, inputs[:1])
    with pytest.raises(InputError, match="is an input of this command"):
        check_output_file(tmp_path / "x" / ".." / "other.json", lambda path: True, inputs)


def test_what_is_there_is_replaced_when_it_is_ours_and_may_be(tmp_path):
    output = tmp_path / "out.json"
    output.write_text("former")
    check_output_file(output, lambda path: path == output)
    with pytest.raises(InputError, match="is no result of this command"):
        check_output_file(output, lambda path: False)
    with pytest.raises(InputError, match="pass --overwrite to replace it"):
        check_output_file(output, lambda path: True, overwrite=False)
    with pytest.raises(InputError, match="is a folder; name a file"):
        check_output_file(tmp_path, lambda path: True)
    with pytest.raises(InputError, match="would lie in a folder named '~'"):
        check_output_file(Path("~/out.json"), lambda path: True)


def test_a_link_to_what_is_not_there_yet_may_be_written(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    check_output_file(tmp_path / "link.json", lambda path: False, overwrite=False)
    (tmp_path / "real.json").write_text("theirs")
    with pytest.raises(InputError, match="is no result"):
        check_output_file(tmp_path / "link.json", lambda path: False)


def test_files_are_those_given_and_all_below_the_folders(tmp_path):
    for name in ("a/b/c.json", "a/d.json", "e.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    given = (path for path in (tmp_path / "e.json", tmp_path / "a", tmp_path / "missing"))
    assert sorted(files_of(given)) == [tmp_path / name for name in ("a/b/c.json", "a/d.json", "e.json")]
