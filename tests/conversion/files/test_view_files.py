"""Files of views on the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlahub.conversion.alpamayo_r1.driving_prediction import camera_folders, read_cameras
from vlahub.conversion.cards.example_images import given_images
from vlahub.conversion.cli import main
from vlahub.conversion.files.view_files import frames_of, listed_files, named_views
from vlahub.errors import InputError


def test_files_may_have_names(tmp_path):
    for name in ("a.png", "b=c.png"):
        Image.new("RGB", (48, 40)).save(tmp_path / name)
    assert named_views([tmp_path / "a.png", tmp_path / "b=c.png"]) is None
    found = named_views([Path(f"top={tmp_path}/a.png"), Path(f"wrist={tmp_path}/b=c.png")])
    assert list(found) == ["top", "wrist"] and found["wrist"].size == (48, 40)
    for other in (tmp_path / "a.png", Path(f"top={tmp_path}/a.png")):
        with pytest.raises(InputError, match="a name of its own"):
            named_views([Path(f"top={tmp_path}/a.png"), other])


def test_a_folder_stands_for_its_images_by_name_whatever_the_case_of_their_suffixes(tmp_path):
    for name in ("view_2.PNG", "view_10.jpg", "view_1.png", "notes.txt", "view_0.JPEG"):  # 10 before 2: by name
        (tmp_path / name).touch()
    names = ["view_0.JPEG", "view_1.png", "view_10.jpg", "view_2.PNG"]
    assert [path.name for path in listed_files([tmp_path])] == names
    given = [tmp_path / name for name in ("view_2.PNG", "view_1.png")]
    assert listed_files(given) == given and listed_files(given[:1]) == given[:1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        listed_files([tmp_path / "empty"])


TIMES = {
    "counted": ["frame_8.png", "frame_9.tif", "frame_10.TIFF", "frame_11.png"],
    "with zeros": ["cam0_008.png", "cam0_009.png", "cam0_010.png", "cam1_001.png"],
    "seconds": ["9.png", "10.05.png", "10.25.png", "10.5.png"],
    "nanoseconds": ["999999999999999999.png", "1000000000000000000.png", "1000000000000000001.png"],
    "words": ["after.png", "before.png"],
}


@pytest.mark.parametrize("kind", TIMES)
def test_frames_of_a_camera_are_in_the_order_of_the_numbers_in_their_names(tmp_path, kind):
    for name in reversed(TIMES[kind]):
        (tmp_path / name).touch()
    assert [path.name for path in frames_of(tmp_path)] == TIMES[kind]


def test_a_driving_model_gets_all_frames_of_a_folder_in_order_and_no_folder_with_images_beside(tmp_path):
    (tmp_path / "front").mkdir()
    for i in (8, 9, 10, 11):
        Image.new("L", (4, 4), i).save(tmp_path / "front" / f"frame_{i}.{'tif' if i == 11 else 'png'}")
    found = read_cameras(camera_folders([tmp_path]))
    assert [[np.asarray(frame).max() for frame in camera] for camera in found] == [[8, 9, 10, 11]]
    Image.new("L", (4, 4)).save(tmp_path / "left.png")
    with pytest.raises(InputError, match=r"holds folders, .*beside them left\.png"):
        camera_folders([tmp_path])


VIEWS = ["top", "left_wrist"]  # the alphabet has them the other way round


@pytest.mark.parametrize("names", [VIEWS, ["observation.images.top", "Left_Wrist"]], ids=["plain", "as columns"])
def test_a_folder_of_files_with_the_names_of_the_views_is_in_their_order(tmp_path, names):
    for name in names:
        (tmp_path / f"{name}.png").touch()
    assert [path.stem for path in listed_files([tmp_path], VIEWS)] == names
    assert [path.stem for path in camera_folders([tmp_path], VIEWS)] == names
    for others in (None, VIEWS[:1], [*VIEWS, "right_wrist"], ["top", "wrist"]):
        assert listed_files([tmp_path], others) == sorted(tmp_path.iterdir())
    given = [tmp_path / f"{name}.png" for name in names]
    assert listed_files(given, VIEWS) == given
    assert camera_folders(given[::-1], VIEWS) == given[::-1]  # each of which is told by its own name
    for others in (None, ["top", "wrist"]):
        assert listed_files(given[::-1], others) == given[::-1]
    with pytest.raises(InputError, match="in the order top, left_wrist: give them in that order, as NAME=FILE"):
        listed_files(given[::-1], VIEWS)


@pytest.mark.parametrize("twin", ["wrist.jpg", "observation.images.wrist.png", "Wrist.jpeg"])
def test_two_files_of_one_view_are_both_there_and_none_is_taken_for_the_other(tmp_path, twin):
    for name in ("primary.png", "wrist.png", twin):
        (tmp_path / name).touch()
    assert listed_files([tmp_path], ["primary", "wrist"]) == sorted(tmp_path.iterdir())


def test_folders_of_frames_with_the_names_of_the_views_are_in_their_order(tmp_path):
    for views in (VIEWS, ["camera_front_tele_30fov", "camera_front_wide_120fov"]):  # numbers 6 and 1
        clip = tmp_path / views[0]
        for name in views:
            (clip / name).mkdir(parents=True)
        assert [path.name for path in camera_folders([clip], views)] == views
        assert [path.name for path in camera_folders([clip])] == views[::-1]


@pytest.fixture
def checkpoint_of_views(family, family_checkpoint, tmp_path):
    """A copy of a family's checkpoint that records `VIEWS`, and a folder of their images."""
    folder = shutil.copytree(family_checkpoint, tmp_path / "checkpoint")
    for name in ("config.json", "processor_config.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | {"view_names": VIEWS}))
    (tmp_path / "views").mkdir()
    for name in VIEWS:
        pixels = np.random.RandomState(len(name)).randint(0, 255, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "views" / f"{name}.png")
    return folder, tmp_path / "views"


def test_predictions_and_cards_see_the_views_of_a_folder_in_the_order_of_training(
    family, checkpoint_of_views, tmp_path, capsys
):
    folder, views = checkpoint_of_views
    files = [views / f"{name}.png" for name in VIEWS]
    xyz = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1).tolist()
    poses = {"ego_history_xyz": xyz, "ego_history_rot": np.tile(np.eye(3), (16, 1, 1)).tolist()}
    (tmp_path / "path.json").write_text(json.dumps(poses))
    few = ["--num-traj-samples", "1", "--top-k", "1", "--max-new-tokens", "4"]
    drives = family.prefix == "AlpamayoR1"
    more = ["--history", str(tmp_path / "path.json"), *few] if drives else ["--instruction", "lift it"]
    nameless = [shutil.copy(file, tmp_path / f"{i}.png") for i, file in enumerate(files[::-1])]
    found = []
    for images in ([views], files, nameless):
        assert main(["predict", str(folder), "--images", *map(str, images), *more, "--quiet"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] != found[2]
    config = family.config.from_pretrained(folder)
    assert list(given_images(config, [views], "").files.values()) == files
    if not drives:  # cameras are told by the names of their folders
        assert main(["predict", str(folder), "--images", *map(str, files[::-1]), *more, "--quiet"]) == 1
        assert "in the order top, left_wrist" in capsys.readouterr().err
    with pytest.raises(InputError, match="in the order top, left_wrist"):
        given_images(config, files[::-1], "")
