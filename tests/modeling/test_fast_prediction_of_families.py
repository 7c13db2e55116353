"""`enable_fast_prediction` on every family: predictions stay what they are."""

import numpy as np
import pytest
import torch
from traced_graphs import TracedGraph

from vlahub.errors import ConfigError
from vlahub.modeling.fast_prediction import FastPrediction
from vlahub.modeling.fused_linears import lie_side_by_side


@pytest.fixture
def views():
    return np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)


def test_predictions_from_graphs_are_those_without(family, family_checkpoint, family_call, views):
    model = family.model.from_pretrained(family_checkpoint, dtype=torch.float32).eval()
    processor = family.processor.from_pretrained(family_checkpoint)
    plain = family_call(model, processor, views)
    model.fast_prediction = FastPrediction(model, {"length_bucket": 16}, TracedGraph)
    for _ in range(2):
        torch.testing.assert_close(family_call(model, processor, views), plain, rtol=1e-4, atol=1e-4)
    stats = model.fast_prediction_stats
    assert stats.captures >= 1
    assert stats.replays >= 2 * stats.captures
    assert stats.eager_fallbacks == 0, stats.eager_reasons


def test_a_config_switches_it_on(family, family_checkpoint, tmp_path):
    model = family.model.from_pretrained(family_checkpoint, fast_prediction={"max_graphs": 3})
    assert (model.fast_prediction.mode, model.fast_prediction.max_graphs) == ("graphs", 3)
    model.save_pretrained(tmp_path)
    assert family.model.from_pretrained(tmp_path).fast_prediction.max_graphs == 3
    assert family.model.from_pretrained(tmp_path, fast_prediction=None).fast_prediction is None
    assert family.model.from_pretrained(family_checkpoint).fast_prediction is None
    with pytest.raises(ConfigError, match="mode='fast'"):
        family.model.from_pretrained(family_checkpoint, fast_prediction="fast")


@pytest.mark.parametrize("size", ["10KB", "1GB"])
def test_a_checkpoint_of_fused_weights_is_what_it_was(family, family_checkpoint, tmp_path, size):
    plain = family.model.from_pretrained(family_checkpoint)
    fused = family.model.from_pretrained(family_checkpoint, fuse_projections=True)
    assert fused.num_parameters() == plain.num_parameters()
    assert all(lie_side_by_side([linear.weight for linear in group]) for group in fused.projections_to_fuse())
    told, _ = family.model.from_pretrained(family_checkpoint, fuse_projections=True, output_loading_info=True)
    assert all(lie_side_by_side([linear.weight for linear in group]) for group in told.projections_to_fuse())
    fused.save_pretrained(tmp_path, max_shard_size=size)
    again = family.model.from_pretrained(tmp_path).state_dict()
    wanted = plain.state_dict()
    assert again.keys() == wanted.keys()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_a_config_refuses_what_cannot_be(family, family_checkpoint):
    config = family.config.from_pretrained(family_checkpoint)
    assert "fast_prediction" not in config.to_dict()
    config.fast_prediction = {"max_graphs": 0}
    with pytest.raises(ConfigError, match="max_graphs=0"):
        config.check()
