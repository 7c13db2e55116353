"""A config.json that one line of transformers wrote says the same on the other: names, sizes, and what is predicted."""

import json

import pytest
from model_variants import VARIANTS
from safetensors.torch import load_file
from transformers import AutoConfig
from written_by_lines import NAMES, OWN, checkpoint, path_of, predicted

CONFIGS = {"4": json.loads(path_of("4").read_text()), "5": json.loads(path_of("5").read_text())}


@pytest.mark.newest
@pytest.mark.parametrize("line", CONFIGS)
@pytest.mark.parametrize("name", NAMES)
def test_what_either_line_wrote_predicts_what_it_predicted_there(line, name, tmp_path):
    written = CONFIGS[line][name]
    found = predicted(checkpoint(tmp_path, name, written["config"]), name)
    assert max(map(abs, found)) > 0.1
    assert found == pytest.approx(written["actions"], rel=2e-3, abs=2e-3)


@pytest.mark.newest
@pytest.mark.parametrize("name", NAMES)
def test_both_lines_write_the_same_fields_of_ours(name):
    """Those of the towers and language models are transformers' own."""
    one, other = (without_parts(config[name]["config"]) for config in CONFIGS.values())
    assert one == other


@pytest.mark.newest
@pytest.mark.parametrize("line", CONFIGS)
@pytest.mark.parametrize("name", NAMES)
def test_what_was_read_is_written_as_a_new_config_is(line, name, tmp_path):
    """Also by the Auto class; nothing of the other line stays in it, and nothing is lost."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[line][name]["config"]))
    config = VARIANTS[name].kind.config_class.from_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(config)
    found, wanted = (VARIANTS[name].kind(each).state_dict() for each in (config, VARIANTS[name].make()))
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in wanted.items()}
    config.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert without_parts(again) == without_parts(CONFIGS[OWN][name]["config"])


@pytest.mark.parametrize("name", NAMES[:1])
def test_the_fixture_of_this_line_is_what_it_writes(name, tmp_path):
    """Else `python tests/written_by_lines.py` has to be run in both environments."""
    VARIANTS[name].model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.keys() == CONFIGS[OWN][name]["config"].keys()
    assert load_file(tmp_path / "model.safetensors")


def without_parts(config):
    """The fields of a config.json that are no configs of their own, but for releases."""
    drop = {"transformers_version", "dtype", "torch_dtype"}
    own = {key: value for key, value in config.items() if key not in drop and not key.endswith("_config")}
    return {key: value for key, value in own.items() if value is not None}  # 4.57 leaves out what is None
