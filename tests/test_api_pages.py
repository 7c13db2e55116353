"""The API reference in docs/api: each public name once, where it is defined."""

import re
from pathlib import Path

import vlahub

PAGES = sorted((Path(__file__).parents[1] / "docs" / "api").glob("*.md"))
SOURCES = {"errors": "configuration.vla_errors"}  # a module is shown by what it holds


def test_every_public_name_stands_once_in_the_reference():
    entries = [line for page in PAGES for line in re.findall(r"^::: (\S+)$", page.read_text(), re.M)]
    homes = {name: f"{vlahub.HOMES.get(name, '')}.{name}".removeprefix("vlahub.") for name in vlahub.__all__} | SOURCES
    homes["AutoModelForVision2Seq"] = "vlahub.auto_classes.AutoModelForVision2Seq"
    assert sorted(entries) == sorted(homes.values())


def test_the_pages_of_the_reference_are_listed_on_its_first():
    first = next(page for page in PAGES if page.stem == "index").read_text()
    assert all(f"]({page.name})" in first for page in PAGES if page.stem != "index")
