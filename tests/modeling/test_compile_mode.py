"""`enable_fast_prediction(mode="compile")`: one compilation a signature, bounded as graphs are."""

from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch._dynamo.eval_frame import _debug_get_cache_entry_list
from transformers import PretrainedConfig

from vlahub.modeling import fast_prediction
from vlahub.modeling.prediction_core import run_core
from vlahub.modeling.strict_loading import StrictPreTrainedModel


class Two(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Line(StrictPreTrainedModel):
    config_class = PretrainedConfig

    def __init__(self, config):
        super().__init__(config)
        self.linear = nn.Linear(4, 4)
        self.post_init()


def core(model, inputs, options):
    return (model.linear(inputs.x) + inputs.y,)


@pytest.fixture
def line(monkeypatch):
    """Compiled by dynamo, without a compiler behind it: what is tried here is when it compiles."""
    compile_with = torch.compile
    monkeypatch.setattr(
        fast_prediction.torch, "compile", lambda core, **options: compile_with(core, backend="eager", **options)
    )
    model = Line(PretrainedConfig()).eval()
    model.enable_fast_prediction("compile", max_graphs=2)
    return model


@torch.no_grad()
def check(line, x, y):
    torch.testing.assert_close(run_core(line, core, Two(x, y))[0], core(line, Two(x, y), ())[0])


@torch._dynamo.config.patch(error_on_recompile=True)
def test_layouts_of_inputs_and_inputs_that_are_one_do_not_compile_anew(line):
    x = torch.randn(4, 4)
    check(line, x, x.clone())
    check(line, x, x)
    check(line, x.t(), x[:1].expand(4, 4))
    check(line, x.t(), torch.randn(8, 8)[::2, 1:5])
    stats = line.fast_prediction_stats
    assert (stats.captures, stats.replays, stats.eager_fallbacks) == (1, 4, 0)


def test_what_makes_room_is_forgotten_by_the_compiler(line):
    codes = []
    for rows in (1, 2, 3):
        check(line, torch.randn(rows, 4), torch.randn(rows, 4))
        codes.append(next(reversed(line.fast_prediction.compiled_codes.values())))
    assert [len(_debug_get_cache_entry_list(code)) for code in codes] == [0, 1, 1]
    line.disable_fast_prediction()
    assert [len(_debug_get_cache_entry_list(code)) for code in codes] == [0, 0, 0]


@pytest.mark.inductor
@pytest.mark.slow
def test_numbers_are_those_of_eager_calls_within_rounding():
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        model = Line(PretrainedConfig()).eval().to(dtype)
        model.enable_fast_prediction("compile")
        x = torch.randn(3, 4, dtype=dtype)
        with torch.no_grad():
            found = run_core(model, core, Two(x, x))[0]
            torch.testing.assert_close(found, core(model, Two(x, x), ())[0], rtol=tolerance, atol=tolerance)
        assert model.fast_prediction_stats.eager_fallbacks == 0
