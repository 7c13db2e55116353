"""Files of views on the command line."""

from pathlib import Path

import pytest
from PIL import Image

from vlahub.conversion.files.view_files import named_views
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
