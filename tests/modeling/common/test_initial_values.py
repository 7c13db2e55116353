"""No parameter or buffer is what memory happened to hold: in a new model, and where a checkpoint lacks everything."""

import re

import pytest
import torch
from model_variants import FEW_FIRST
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from vlahub.errors import ConfigError
from vlahub.modeling.initial_values import InitialValues
from vlahub.modeling.model_parts import is_pretrained

few_first = pytest.mark.parametrize("variant", FEW_FIRST, indirect=True)


@pytest.fixture
def dirty_memory(monkeypatch):
    """What `torch.empty` and its like return is NaN, or the largest integer, until it is written."""

    def spoiled(make):
        def made(*args, **kwargs):
            tensor = make(*args, **kwargs)
            if tensor.device.type != "meta":
                with torch.no_grad():
                    tensor.fill_(float("nan") if tensor.is_floating_point() else 99)
            return tensor

        return made

    for name in ("empty", "empty_like", "empty_strided"):
        monkeypatch.setattr(torch, name, spoiled(getattr(torch, name)))
    monkeypatch.setattr(torch.Tensor, "new_empty", spoiled(torch.Tensor.new_empty))


def from_nothing(variant, folder):
    """As transformers loads a checkpoint that holds none of a model's weights."""
    save_file({}, folder / "model.safetensors", {"format": "pt"})
    variant.make().save_pretrained(folder)
    torch.manual_seed(3)
    return PreTrainedModel.from_pretrained.__func__(variant.kind, folder, dtype=torch.float32)


def tensors_of(model):
    """Parameters and buffers, also those that no checkpoint holds."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def drawn_alike(found, wanted):
    """Whether both look like drawn from one distribution around zero."""
    spread, error = wanted.std(correction=0), found.numel() ** -0.5
    return abs(found.std(correction=0) / spread - 1) < 0.02 + 5 * error and abs(found.mean()) < 6 * spread * error


@pytest.mark.newest
def test_a_new_model_follows_from_the_seed_alone(variant, dirty_memory):
    torch.manual_seed(3)
    found = tensors_of(variant.kind(variant.make()))
    torch.manual_seed(3)
    again = tensors_of(variant.kind(variant.make()))
    assert [name for name, value in found.items() if not value.isfinite().all()] == []
    assert [name for name, value in found.items() if not torch.equal(value, again[name])] == []


@pytest.mark.newest
def test_what_a_checkpoint_lacks_is_as_in_a_new_model(variant, tmp_path, dirty_memory):
    """Constants are the same, drawn numbers have the same deviation; buffers are computed anew."""
    new = variant.kind(variant.make())
    loaded = from_nothing(variant, tmp_path)
    found, wanted = tensors_of(loaded), tensors_of(new)
    assert found.keys() == wanted.keys()
    assert [name for name, value in found.items() if not value.isfinite().all()] == []
    drawn = {name for name, value in new.named_parameters() if value.std(correction=0) > 0}
    constant = found.keys() - drawn
    assert [name for name in constant if not torch.equal(found[name], wanted[name])] == []
    # Parts of other models are initialised by transformers, on 5.x not always alike.
    drawn = {name for name in drawn if not is_pretrained(new, name)}
    assert drawn and [name for name in drawn if not drawn_alike(found[name], wanted[name])] == []


@few_first
def test_what_a_checkpoint_lacks_follows_from_the_seed(variant, tmp_path, dirty_memory):
    found, again = (tensors_of(from_nothing(variant, tmp_path)) for _ in range(2))
    assert [name for name, value in found.items() if not torch.equal(value, again[name])] == []


@few_first
def test_every_weight_that_is_missing_is_named_or_counted(variant, tmp_path):
    save_file({}, tmp_path / "model.safetensors", {"format": "pt"})
    variant.make().save_pretrained(tmp_path)
    with pytest.raises(ConfigError) as raised:
        variant.kind.from_pretrained(tmp_path)
    names, more = re.search(r"missing keys: (.*) and (\d+) more", str(raised.value)).groups()
    with torch.device("meta"):
        model = variant.kind(variant.make())
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}  # tied ones have two names
    assert set(names.split(", ")) <= every
    assert len(list(model.parameters())) <= len(names.split(", ")) + int(more) <= len(every)


class Drawn(nn.Module):
    """Parameters that start in each way that is known."""

    def __init__(self):
        super().__init__()
        for name in ("standard", "small", "ones", "zeros", "constant"):
            self.register_parameter(name, nn.Parameter(torch.empty(3, 2)))
        nn.init.normal_(self.standard)
        nn.init.normal_(self.small, std=0.02)
        nn.init.ones_(self.ones), nn.init.zeros_(self.zeros), nn.init.constant_(self.constant, 0.5)


def test_values_and_deviations_are_those_that_were_asked_for():
    with InitialValues() as initial, torch.device("meta"):
        module = Drawn()
    assert {name: initial.of(module, name).deviation for name in ("standard", "small")} == {
        "standard": 1,
        "small": 0.02,
    }
    values = {name: initial.of(module, name).value for name, _ in module.named_parameters()}
    assert values == {"standard": None, "small": None, "ones": 1, "zeros": 0, "constant": 0.5}
