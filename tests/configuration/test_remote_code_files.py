"""Which files a checkpoint carries and how they are written flat, on a small tree of sources."""

import sys
from types import ModuleType

import pytest

from vlahub.configuration.remote_code import (
    CODE_FOLDERS,
    closure,
    code_files,
    code_root,
    flattened,
    name_all,
    relative_imports,
    remote_code,
    write_remote_code,
)

FILES = {
    "configuration/a/configuration_a.py": "from ..shared import x\n",
    "configuration/shared.py": "import json\nfrom os import path\nfrom .words import w\n",
    "configuration/words.py": "",
    "modeling/a/modeling_a.py": (
        "from ...configuration.a.configuration_a import A\nfrom ..layers import (\n    layer,\n)\n\n\n"
        "def late():\n    from ..a.parts import part\n\n    return part\n"
    ),
    "modeling/layers.py": "from .deeper import y\n",
    "modeling/deeper.py": "z = 'é'\n",
    "modeling/a/parts.py": "from ..deeper import y\n",
    "modeling/_private.py": "",
    "processing/other.py": "",
    "training/elsewhere.py": "",
}
CLASSES = {"AutoConfig": "configuration_a.A", "AutoModel": "modeling_a.M", "AutoModelForVision2Seq": "modeling_a.M"}


@pytest.fixture
def owner(tmp_path, monkeypatch):
    """A class of the configuration in a tree of sources."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    module = ModuleType("configuration_a")
    module.__file__ = str(tmp_path / "configuration/a/configuration_a.py")
    monkeypatch.setitem(sys.modules, "configuration_a", module)
    return type("A", (), {"__module__": "configuration_a"})


def test_the_sources_are_those_of_three_layers_by_their_names(owner, tmp_path):
    found = code_files(owner)
    assert set(found) == {"configuration_a", "shared", "words", "modeling_a", "layers", "deeper", "parts", "other"}
    assert found["parts"] == tmp_path / "modeling/a/parts.py"


def test_a_file_needs_all_that_it_imports_from_us_directly_or_not(owner):
    sources = code_files(owner)
    assert relative_imports(sources["modeling_a"]) == {"configuration_a", "layers", "parts"}
    assert relative_imports(sources["shared"]) == {"words"}
    assert closure("configuration_a", sources) == {"configuration_a", "shared", "words"}
    assert closure("modeling_a", sources) == {*sources} - {"other"}


def test_imports_from_any_folder_become_imports_from_files_beside_it(owner):
    assert flattened(code_files(owner)["modeling_a"]) == (
        "from .configuration_a import A\nfrom .layers import (\n    layer,\n)\n\n\n"
        "def late():\n    from .parts import part\n\n    return part\n"
    )


def test_entry_files_name_what_they_need_and_do_not_import_and_others_do_not(owner, tmp_path):
    texts = remote_code(owner, CLASSES)
    assert set(texts) == {f"{name}.py" for name in closure("modeling_a", code_files(owner))}
    named = {name: [line for line in text.splitlines() if "__name__" in line] for name, text in texts.items()}
    assert [line.split()[1] for line in named.pop("modeling_a.py")] == [".deeper", ".shared", ".words"]
    assert [line.split()[1] for line in named.pop("configuration_a.py")] == [".words"]
    assert not any(named.values()) and "Of all code of this release" in texts["configuration_a.py"]
    assert "Of all code of this release" not in texts["modeling_a.py"] and name_all([]) == ""
    written = write_remote_code(owner, CLASSES, tmp_path / "new/folder")
    assert written == sorted(texts)
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new/folder").iterdir()} == texts


def test_code_of_a_checkpoint_is_left_to_transformers(owner, tmp_path):
    assert remote_code(owner, CLASSES | {"AutoProcessor": "processing_of_others.P"}) == {}
    sys.modules["configuration_a"].__file__ = str(tmp_path / "snapshot/configuration_a.py")
    assert code_files(owner) == {} and remote_code(owner, CLASSES) == {}


def test_a_root_holds_all_layers(tmp_path):
    file = tmp_path / "modeling/modeling/a.py"
    for folder in CODE_FOLDERS[:2]:
        (tmp_path / folder).mkdir()
    assert code_root(file) is None
    (tmp_path / CODE_FOLDERS[2]).mkdir()
    assert code_root(file) == tmp_path and code_root(tmp_path / "training/a.py") is None
