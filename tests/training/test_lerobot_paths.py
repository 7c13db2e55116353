"""Paths that a dataset's own files name lead into its folder, and a template is filled in as it says."""

import pytest

from vlahub.errors import InputError
from vlahub.training.lerobot_paths import filled_template, inside_folder


@pytest.mark.parametrize(
    ("path", "tidy"), [("a/./b/../c", "a/c"), ("a//b/", "a/b"), ("..a/b", "..a/b"), ("a/..b", "a/..b"), (".", ".")]
)
def test_a_path_inside_is_tidied(path, tidy):
    assert inside_folder(path, "x") == tidy


@pytest.mark.parametrize("path", ["..", "../a", "a/../..", "a/../../b", "/a", "/", "a\0b"])
def test_a_path_out_of_the_folder_is_refused_by_its_place(path):
    with pytest.raises(InputError, match=r"^info.json leads to .*, out of the dataset's folder"):
        inside_folder(path, "info.json")


@pytest.mark.parametrize(
    ("template", "path"),
    [("{n}", "7"), ("{n:d}", "7"), ("{n:3d}", "007"), ("{n:03d}/{name}", "007/top"), ("{name:2d}", "top"), ("a", "a")],
)
def test_numbers_have_the_width_that_the_template_says(template, path):
    assert filled_template(template, {"n": 7, "name": "top"}, "x") == path


@pytest.mark.parametrize("template", ["a}", "{a", "{n}}", "{{n}", "{n:-3d}", "{n:12d}"])
def test_braces_of_no_field_are_refused(template):
    with pytest.raises(InputError, match=r"x='.*' has a field that is neither \{name\} nor of the form"):
        filled_template(template, {"n": 7}, "x")
