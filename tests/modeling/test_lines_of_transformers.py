"""What one release of transformers, PEFT or torch needs is done for it, on whichever the tests run."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GenerationMixin, PretrainedConfig

from vlahub import CogVLAForActionPrediction
from vlahub.errors import ConfigError
from vlahub.modeling.adapter_loading import adapter_problems, by_their_names
from vlahub.modeling.adapter_rollback import missing_part_is_named
from vlahub.modeling.adapters_in_use import switch_adapters
from vlahub.modeling.alpamayo_r1.prompt_reading import stock_images
from vlahub.modeling.attention_marks import all_parts_or_none
from vlahub.modeling.base_weights import files_of
from vlahub.modeling.kernel_settings import float32_precision
from vlahub.modeling.mapanything_llava3d import siglip_tower
from vlahub.modeling.model_watch import is_forward_of_class

# ---- adapters


class Adapted(nn.Module):
    """Has the tensors `wanted` of an adapter `mine`, and tied embeddings, of whose rows an adapter has one copy."""

    def __init__(self, wanted=()):
        super().__init__()
        self.wanted, self.mine = wanted, nn.ModuleDict({"rows": nn.Linear(1, 1, bias=False)})
        self.again = self.mine

    def get_adapter_state_dict(self, name):
        return dict.fromkeys(self.wanted) if name == "mine" else {"another": None}


def test_what_a_release_reports_of_an_adapter_is_of_its_own_tensors():
    info = SimpleNamespace(unexpected_keys={"x"}, mismatched_keys={("y", 1, 2)})
    info.missing_keys = {"a.mine.weight", "a.others.weight", "mine.rows.weight"}
    found = adapter_problems(Adapted(), "place", "mine", info, {})
    unfit = {"unexpected_keys": {"x"}, "mismatched_keys": {("y", 1, 2)}}
    assert found == {"missing_keys": {"a.mine.weight"}, **unfit}


def test_of_a_release_that_reports_nothing_the_file_is_read(tmp_path):
    model = Adapted(["a.weight", "b.weight"])
    assert adapter_problems(model, None, "mine", None, {}) == {}
    assert adapter_problems(model, tmp_path, "mine", None, {}) == {}
    tensors = {f"base_model.model.{name}": torch.zeros(1) for name in ("b.weight", "c.weight", "d.weight")}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    found = adapter_problems(model, tmp_path, "mine", None, {})
    assert found == {"missing_keys": {"a.weight"}, "unexpected_keys": {"c.weight", "d.weight"}}


def test_a_part_that_peft_asks_for_by_name_is_named():
    with (
        pytest.raises(ConfigError, match=r"do not fit its config; missing keys: head\.weight\."),
        missing_part_is_named(),
    ):
        raise KeyError("head.weight")


class Part(nn.Module):
    def __init__(self, off):
        super().__init__()
        self.disable_adapters = off
        self.original_module = nn.Linear(1, 1)

    def enable_adapters(self, on):
        """As with PEFT 0.18."""
        self.disable_adapters = not on
        self.original_module.requires_grad_(not on)


def test_parts_are_switched_together_and_what_they_stand_for_stays_frozen():
    model = nn.ModuleList([Part(False), Part(True), nn.Linear(1, 1)])
    model.disable_adapters = lambda: None  # as models have it
    for on in (True, False, True):
        switch_adapters(model, on)
        assert [part.disable_adapters for part in model[:2]] == [not on, not on]
        trained = {name for name, value in model.named_parameters() if value.requires_grad}
        assert trained == {"2.weight", "2.bias"}


def test_files_of_an_adapter_are_asked_for_where_both_lines_look():
    def load_adapter(peft_model_id, adapter_name=None, revision=None, token=None, adapter_kwargs=None):
        raise NotImplementedError

    found = by_their_names(load_adapter, ("v1",), {"token": None, "x": 1, "adapter_kwargs": {"subfolder": "a"}})
    assert found == {"x": 1, "adapter_kwargs": {"revision": "v1", "subfolder": "a"}}
    found = by_their_names(load_adapter, (None, "secret"), {"adapter_kwargs": None})
    assert found == {"adapter_kwargs": {"token": "secret"}}
    found = by_their_names(load_adapter, ("v1",), {"adapter_kwargs": {"revision": "v2"}})
    assert found == {"adapter_kwargs": {"revision": "v2"}}


# ---- models


@pytest.mark.parametrize("trusted", [None, False, True])
def test_code_of_a_folder_runs_where_it_is_trusted_alone(trusted, monkeypatch):
    def load(self, place=None, trust_remote_code=None, **kwargs):
        return place, trust_remote_code, kwargs

    monkeypatch.setattr(GenerationMixin, "load_custom_generate", load)
    model = CogVLAForActionPrediction.__new__(CogVLAForActionPrediction)
    if trusted:
        assert model.load_custom_generate("here", True, token="x") == ("here", True, {"token": "x"})
        return
    with pytest.raises(OSError, match="custom_generate of here runs with trust_remote_code=True alone"):
        model.load_custom_generate("here", trusted)


def marked(**others):
    config = PretrainedConfig(**others)
    config._attn_was_changed, config._attn_implementation_internal = True, "sdpa"
    return config


@pytest.mark.parametrize("error", [None, ValueError])
def test_a_choice_of_attention_finds_no_mark_leaves_none_and_is_undone_where_it_fails(error):
    model, inner = nn.ModuleList([nn.Identity()]), marked()
    model.config, model[0].config = marked(), marked(part=inner)
    configs = model.config, model[0].config, inner
    with pytest.raises(ValueError) if error else torch.no_grad(), all_parts_or_none(model):
        assert not any("_attn_was_changed" in vars(config) for config in configs)
        for config in configs:
            config._attn_was_changed, config._attn_implementation_internal = True, "eager"
        if error:
            raise error
    assert not any("_attn_was_changed" in vars(config) for config in configs)
    assert {config._attn_implementation_internal for config in configs} == {"sdpa" if error else "eager"}


def test_a_tower_that_returns_a_tuple_is_read_as_one_that_names_its_outputs():
    tokens, deeper = torch.ones(1), [torch.zeros(1), torch.ones(2)]
    for output in ((tokens, deeper), SimpleNamespace(pooler_output=tokens, deepstack_features=deeper)):
        vlm = SimpleNamespace(model=SimpleNamespace(visual=lambda pixels, grid_thw, output=output: output))
        found = stock_images(vlm, torch.zeros(1), torch.ones(1, 3))
        assert found.tokens is tokens and list(found.deepstack) == deeper


def test_a_siglips_layers_are_found_one_level_down_or_at_once(monkeypatch):
    layers = nn.Identity()
    below = nn.Module()
    below.vision_model = layers
    for model in (layers, below):
        monkeypatch.setattr(siglip_tower, "SiglipVisionModel", lambda config, model=model: model)
        assert siglip_tower.SiglipTower(None).vision_model is layers


def test_a_forward_that_is_left_behind_is_that_of_its_class():
    module, other = nn.Identity(), nn.Linear(1, 1)
    assert is_forward_of_class(module.forward)
    assert not is_forward_of_class(lambda x: x) and not is_forward_of_class(other.extra_repr)
    assert not is_forward_of_class(nn.Identity.forward)


def test_the_commit_of_weights_is_the_configs_or_that_of_the_file_that_was_read(tmp_path, monkeypatch):
    model = SimpleNamespace(name_or_path=str(tmp_path), config=SimpleNamespace())
    where = {"cache_dir": None, "subfolder": "", "local_files_only": False}
    assert files_of(model, {}) == where | {"revision": None}
    model.config._commit_hash = "c" * 40
    assert files_of(model, {"token": "x", "subfolder": "a"}) == where | {"revision": "c" * 40, "subfolder": "a"}
    model.name_or_path, asked = "user/name", {}

    def cached(name, file, **files):
        asked.update(files, name=name)
        return f"/hub/models--user--name/snapshots/{'d' * 40}/config.json"

    monkeypatch.setattr("vlahub.modeling.base_weights.cached_file", cached)
    assert files_of(model, {})["revision"] == "c" * 40 and not asked
    model.config._commit_hash = None
    assert files_of(model, {"revision": "v1", "cache_dir": "x"})["revision"] == "d" * 40
    assert (asked["name"], asked["revision"], asked["cache_dir"]) == ("user/name", "v1", "x")


# ---- torch


def test_the_rounding_of_products_is_read_as_the_release_says_it():
    cudnn = SimpleNamespace(conv=SimpleNamespace(fp32_precision="b"), allow_tf32="c")
    newer = SimpleNamespace(matmul=SimpleNamespace(fp32_precision="a"))
    older = SimpleNamespace(matmul=SimpleNamespace(allow_tf32="d"))
    if hasattr(torch.backends, "fp32_precision"):
        assert float32_precision(newer, cudnn) == (torch.backends.fp32_precision, "a", "b")
    assert float32_precision(older, cudnn) == (torch.get_float32_matmul_precision(), "d", "c")
