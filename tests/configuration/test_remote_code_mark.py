"""A family's config file names the release that it was written by: transformers 5 tells local folders' code by it."""

import pytest

import vlahub
from vlahub.configuration.remote_code import code_files, mark_of, remote_code


def test_the_mark_differs_with_every_file_of_the_code(tmp_path):
    paths = {name: tmp_path / f"{name}.py" for name in ("configuration_a", "modeling_a", "film")}
    for path in paths.values():
        path.write_text("a = 1\n")
    marks = {mark_of(paths)}
    for path in paths.values():
        path.write_text("a = 2\n")
        marks.add(mark_of(paths))
        path.write_text("a = 1\n")
    other = {**paths, "cinema": paths["film"]}
    del other["film"]
    assert mark_of(other) not in marks
    assert len(marks) == 4 and mark_of(dict(reversed(paths.items()))) in marks
    assert all(mark.startswith("\n# ") and mark.count("\n") == 2 for mark in marks)


@pytest.mark.parametrize("name", ["CogVLA", "MapAnythingLlava3D", "MultimodalVLA", "AlpamayoR1"])
def test_the_config_file_of_every_family_has_it(name):
    config = getattr(vlahub, f"{name}Config")
    mark = mark_of(code_files(config))
    texts = remote_code(config, config.auto_classes)
    marked = [file for file, text in texts.items() if mark in text]
    assert marked == [file for file in texts if file.startswith("configuration_")]
    assert f"{config.__module__.rpartition('.')[2]}.py" in marked
