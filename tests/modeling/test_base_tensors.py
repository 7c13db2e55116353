"""Arguments of `from_base`: where the base is looked for, how the start is loaded, and what is switched on."""

import pytest

from vlahub.errors import ConfigError
from vlahub.modeling import base_tensors
from vlahub.modeling.base_tensors import base_folder, split_arguments

HUB = {"cache_dir": "c", "force_download": True, "local_files_only": True, "revision": "v1", "token": "t"}
LOADING = {"device_map": "auto", "max_memory": {0: 1}, "offload_folder": "o", "attn_implementation": "eager"}
OPTIONS = {"film": True, "action_head": "l1"}


def test_each_argument_goes_where_it_belongs():
    assert split_arguments({**OPTIONS, **LOADING, **HUB}) == (HUB, LOADING, OPTIONS)


@pytest.mark.parametrize(("name", "instead"), [("torch_dtype", "dtype"), ("quantization_config", "save the start")])
def test_an_argument_of_loading_alone_is_refused(name, instead):
    with pytest.raises(ConfigError, match=f"from_base has no argument {name}=.*{instead}"):
        split_arguments({name: "float16"})


def test_a_repository_is_fetched_as_it_is_asked_for(monkeypatch, tmp_path):
    asked = {}

    def fetched(name, allow_patterns, **options):
        asked[name] = allow_patterns, options
        return tmp_path

    monkeypatch.setattr(base_tensors, "snapshot_download", fetched)
    (tmp_path / "config.json").write_text("{}")
    assert base_folder("user/base", HUB, ["config.json"]) == tmp_path
    assert asked == {"user/base": (["config.json"], HUB)}
    assert base_folder(tmp_path, HUB, ["config.json"]) == tmp_path and len(asked) == 1


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        base_folder(tmp_path, {}, ["config.json"])
