"""Files of views on the command line."""

from pathlib import Path

import pytest
from PIL import Image

from vlahub.conversion.files.view_files import listed_files, named_views
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
