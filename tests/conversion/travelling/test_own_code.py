"""The code that a checkpoint of ours gets: what its processor's files name is of it, and the last folder counts."""

import json

import pytest

from vlahub import CogVLAConfig
from vlahub.conversion.travelling.travelling_code import own_code

NAMED = {"cogvla": "processing_cogvla.CogVLAProcessor", "any": "processing_multimodal_vla.MultimodalVLAProcessor"}


@pytest.fixture
def folders(tmp_path):
    """`folders(*names)`: one for each, whose processor_config.json names this class."""

    def write(*names):
        for name in names:
            (tmp_path / name).mkdir()
            auto_map = {"AutoProcessor": NAMED.get(name, name), "AutoModel": "modeling_other.Model"}
            (tmp_path / name / "processor_config.json").write_text(json.dumps({"auto_map": auto_map}))
        return [tmp_path / name for name in names]

    return write


@pytest.mark.parametrize("order", [("cogvla", "any"), ("any", "cogvla")], ids=" ".join)
def test_the_processor_is_that_of_the_last_folder(folders, order):
    code = own_code(CogVLAConfig(), folders(*order))
    assert code.processor_map["AutoProcessor"] == NAMED[order[-1]]
    assert NAMED[order[-1]].split(".")[0] + ".py" in code.texts
    assert code.auto_map == CogVLAConfig.auto_classes and "modeling_other.py" not in code.texts


def test_a_processor_that_is_not_ours_is_not_named(folders):
    code = own_code(CogVLAConfig(), folders("processing_other.Processor"))
    assert code.processor_map["AutoProcessor"] == CogVLAConfig.auto_classes["AutoProcessor"]


def test_each_file_names_the_classes_that_it_is_of(tmp_path):
    names = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json")
    for name in names:
        (tmp_path / name).write_text(json.dumps({"auto_map": {"AutoModel": "evil.Evil"}, "kept": 1}))
    code = own_code(CogVLAConfig(), [])
    code.write(tmp_path)
    maps = {name: json.loads((tmp_path / name).read_text()).get("auto_map") for name in names}
    assert maps == dict(zip(names, (code.auto_map, None, code.processor_map, None), strict=True))
    assert all((tmp_path / name).read_text() == text for name, text in code.texts.items())
