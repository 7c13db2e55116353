"""What an adapter may change: a tensor of floating-point numbers for each name, in a base of any class."""

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.generic.merged_base import MergedBase
from vlahub.conversion.generic.shared_weights import check_changed, check_same
from vlahub.conversion.tensors import verify_tensors
from vlahub.conversion.tensors.plan import PlannedTensor, SourceTensor
from vlahub.conversion.tensors.tensor_source import open_checkpoint
from vlahub.errors import ConversionError


def planned(folder, **tensors):
    """Tensors of a base, by their names."""
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (file,) = open_checkpoint(folder, "base").files
    return {name: PlannedTensor(name, info, SourceTensor(file, name)) for name, info in file.infos.items()}


ENDS = ("model.embed_tokens.weight", "transformer.wte.weight", "lm_head.weight", "embed_out.weight")
LAYER = "model.layers.0.q_proj.weight"


@pytest.mark.parametrize("name", ENDS)
def test_an_end_that_an_unknown_class_shares_is_refused(name, tmp_path):
    tensors = planned(tmp_path, **{name: torch.zeros(2, 2), LAYER: torch.zeros(2, 2)})
    for config in ({"tie_word_embeddings": True}, {"text_config": {"tie_word_embeddings": True}}):
        merged = MergedBase.of(tensors, config, None)
        check_changed(merged, [LAYER])
        with pytest.raises(ConversionError, match=f"changes {name}, which the base shares between both ends"):
            check_changed(merged, [LAYER, name])
    for config in ({}, {"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": True}}):
        check_changed(MergedBase.of(tensors, config, None), [LAYER, name])


def test_an_adapter_changes_no_integers(tmp_path):
    merged = MergedBase.of(planned(tmp_path, **{LAYER: torch.zeros(2, dtype=torch.int64)}), {}, None)
    with pytest.raises(ConversionError, match=f"{LAYER} is int64; weights are floating-point numbers"):
        check_changed(merged, [LAYER])


def test_copies_of_a_shared_tensor_are_the_same_in_every_row(tmp_path, monkeypatch):
    monkeypatch.setattr(verify_tensors, "READ_BYTES", 1)  # a row at a time
    rows = torch.arange(6.0).view(3, 2)
    last = rows.clone()
    last[-1, -1] += 1
    found = planned(tmp_path, a=rows, b=rows.clone(), bf=rows.bfloat16(), last=last, more=torch.cat([rows, rows]))
    for same in ("a", "b", "bf"):
        check_same(found["a"], found[same])
    for other in ("last", "more"):
        with pytest.raises(ConversionError, match=f"ties a to {other}, but the base holds different numbers"):
            check_same(found["a"], found[other])
