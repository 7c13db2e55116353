"""Names of code in JSON files: all are found, and each leads to a class of the folder or is told not to."""

import json

import pytest

from vlahub.conversion.travelling.auto_map import (
    check_references,
    reference_problem,
    references,
    rewrite,
    with_auto_map,
)
from vlahub.errors import ConversionError

OURS = {"AutoModel": "ours.Model"}


@pytest.fixture
def folder(tmp_path):
    """Code that imports from its side, and some that is damaged."""
    modules = {
        "model": "from .layers import Layer\nfrom torch import nn as network\nclass Model: pass\nTiny = Model\n",
        "layers": "from . import other\nfrom ..above import more\nfrom .names import NAME\nclass Layer: pass\n",
        "names": "NAME = 'layer'\n",
        "halved": "from .gone import half\nclass Model: pass\n",
        "deeper": "from .halved import Model\n",
        "text": "class Model\n",
        "broken": "from .text import Model\n",
    }
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


CONTENTS = {
    "a model's": ({"auto_map": {"AutoModel": "a.A"}}, ["a.A"]),
    "slow and fast tokenizer": ({"auto_map": {"AutoTokenizer": ["a.A", None]}}, ["a.A"]),
    "an old tokenizer's": ({"auto_map": ["a.A", "b.B"]}, ["a.A", "b.B"]),
    "a name alone": ({"auto_map": "a.A"}, ["a.A"]),
    "nested": ({"text_config": {"auto_map": {"AutoModel": "a.A"}}}, ["a.A"]),
    "in a list": ({"parts": [1, [{"auto_map": {"AutoModel": "a.A"}}]]}, ["a.A"]),
    "a list": ([{"auto_map": {"AutoModel": "a.A"}}], ["a.A"]),
    "a pipeline's": ({"custom_pipelines": {"task": {"impl": "a.A", "pt": ["AutoModel"]}}}, ["a.A"]),
    "none": ({"architectures": ["a.A"], "auto_map": {}}, []),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_all_names_are_found(case):
    content, names = CONTENTS[case]
    assert list(references(content)) == names


@pytest.mark.parametrize("case", CONTENTS)
def test_no_name_is_left(case):
    content, _ = CONTENTS[case]
    assert list(references(with_auto_map(content, None))) == []
    given = set(references(with_auto_map(content, OURS)))
    assert given == ({"ours.Model"} if "auto_map" in json.dumps(content) else set())


def test_all_else_stays():
    content = {"a": [1, {"b": 2, "auto_map": OURS}], "custom_pipelines": {}, "c": None}
    assert with_auto_map(content, None) == {"a": [1, {"b": 2}], "c": None}


def test_a_file_that_has_the_map_stays_byte_by_byte(tmp_path):
    path, text = tmp_path / "config.json", '{"auto_map": {"AutoModel": "ours.Model"},  "x": 1}'
    path.write_text(text)
    rewrite(path, OURS)
    assert path.read_text() == text
    rewrite(path, {"AutoModel": "ours.Other"})
    assert json.loads(path.read_text()) == {"auto_map": {"AutoModel": "ours.Other"}, "x": 1}
    rewrite(path, None)
    assert json.loads(path.read_text()) == {"x": 1}


@pytest.mark.parametrize("name", ["model.Model", "model.Tiny", "model.Layer", "model.network", "layers.Layer"])
def test_what_a_module_defines_or_imports_is_there(folder, name):
    assert reference_problem(name, folder) is None
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": name}}))
    check_references(folder)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("somebody/else--model.Model", "which lies in another repository"),
        ("model", "which is no file.Class"),
        ("model.", "which is no file.Class"),
        ("../model.Model", "which is no file.Class"),
        ("sub.model.Model", "which is no file.Class"),
        ("absent.Model", "but absent.py is missing"),
        ("model.Other", "but model.py has no Other"),
        ("halved.Model", "but gone.py is missing, which halved need"),
        ("deeper.Model", "but gone.py is missing, which deeper, halved need"),
        ("text.Model", "but text.py is no Python"),
        ("broken.Model", "but text.py is no Python"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_what_leads_nowhere_is_told(folder, name, problem, file):
    assert problem in reference_problem(name, folder)
    (folder / file).write_text(json.dumps({"nested": [{"auto_map": {"AutoModel": name}}]}))
    with pytest.raises(ConversionError, match=rf"{file} names the code '{name}', {problem}"):
        check_references(folder)
