"""A LeRobot dataset on the Hub is read by its name: any branch or tag, and from the cache without the Hub."""

import importlib
import json
import sys

import pytest

READ = """
frames = load_frames(name, revision=revision)
result = [len(frames), frames["action"][-1], frames["task"][0], frames[1]["observation.images.wrist"].size]
"""


@pytest.fixture
def table(examples_folder, hub, tmp_path):
    """`user/table` with one layout on main and another, of more episodes, as the tag v2.1; and the folders."""
    sys.path.insert(0, str(examples_folder))
    write = importlib.import_module("tiny_dataset").write_dataset
    sys.path.remove(str(examples_folder))
    for branch, version, episodes in (("main", "v3.0", 2), ("v2.1", "v2.1", 3)):
        write(tmp_path / version, version, episodes=episodes, frames=2)
        (tmp_path / version / "README.md").write_text("not read")
        hub.upload("user/table", tmp_path / version, branch)
    hub.upload("user/plain", tmp_path / "v3.0" / "data")
    return tmp_path


def test_a_dataset_is_read_by_its_name_and_revision(table, hub, python, failed):
    worker = python()
    worker("from vlahub.data import load_frames")
    worker("from vlahub.conversion.cli import main; from vlahub.training.hub_dataset import dataset_folder")
    main_branch = worker(READ, name="user/table", revision=None)
    assert main_branch == worker(READ, name=str(table / "v3.0"), revision=None) and main_branch[0] == 4
    tag = worker(READ, name="user/table", revision="v2.1")
    assert tag == worker(READ, name=str(table / "v2.1"), revision=None) and tag[0] == 6
    asked = [path for path in hub.requests if "/datasets/user/table/resolve" in path]
    assert asked and not any("README" in path for path in asked)
    assert worker("result = dataset_folder('user/plain') is None")  # left to datasets.load_dataset
    words = ["stats", "user/table", "--revision", "v2.1", "--output", str(table / "stats.json"), "--quiet"]
    assert worker("result = main(words)", words=words) == 0
    assert json.loads((table / "stats.json").read_text())["user/table"]["num_transitions"] == 6
    for name, revision, message in (
        ("user/table", "v9", "no revision 'v9'"),
        ("user/nothing", None, "neither a folder nor a dataset on the Hub"),
        (str(table / "v3.0"), "main", "only datasets on the Hub have revisions"),
    ):
        with pytest.raises(failed, match=message) as raised:
            worker(READ, name=name, revision=revision)
        assert raised.value.kind == "InputError"


def test_all_that_a_dataset_is_made_of_is_downloaded_and_nothing_else(hub, python, tmp_path):
    parts = ["meta/info.json", "meta/episodes/chunk-000/file-000.parquet", "data/chunk-000/file-000.parquet"]
    parts += ["videos/top/chunk-000/file-000.mp4", "images/top/frame-0.png", "dataset_statistics.json"]
    for name in (*parts, "README.md", "checkpoints/model.safetensors"):
        (tmp_path / "whole" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "whole" / name).write_text("{}")
    hub.upload("user/whole", tmp_path / "whole")
    worker = python()
    worker("from vlahub.training.hub_dataset import dataset_folder; import os")
    worker("folder = dataset_folder('user/whole')")
    found = worker("result = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]")
    folder = worker("result = str(folder)")
    assert sorted(name.removeprefix(f"{folder}/") for name in found) == sorted(parts)


@pytest.mark.slow
def test_what_was_downloaded_is_read_without_the_hub(table, hub, python, failed):
    setup = "from vlahub.data import load_frames"
    worker, offline = python(), python(offline=True)
    for process in (worker, offline):
        process(setup)
    online = worker(READ, name="user/table", revision="v2.1")
    hub.requests.clear()
    assert offline(READ, name="user/table", revision="v2.1") == online and not hub.requests
    with pytest.raises(failed, match="the Hub cannot be reached"):
        offline(READ, name="user/other", revision=None)
