"""What modules are called with is collected in order inside a block, and nothing is left on them afterwards."""

import pytest
import torch
from torch import nn

from vlahub.conversion.predictions.recorded_calls import recorded_calls


class Scaled(nn.Module):
    def forward(self, values, factor=1.0):
        return values * factor


@pytest.mark.parametrize("fails", [False, True])
def test_calls_are_read_with_their_arguments_and_outputs_in_order_until_the_block_ends(fails):
    first, second = Scaled(), Scaled()
    watched = {
        "first": (first, lambda call: (call.args[0].item(), call.kwargs, call.output.item())),
        "second": (second, lambda call: call.output.item()),
    }
    try:
        with recorded_calls(watched) as found:
            for value in (1.0, 2.0):
                first(torch.tensor(value), factor=3.0)
            second(torch.tensor(5.0))
            if fails:
                raise ValueError("in the block")
    except ValueError:
        assert fails
    first(torch.tensor(7.0))
    assert found == {"first": [(1.0, {"factor": 3.0}, 3.0), (2.0, {"factor": 3.0}, 6.0)], "second": [5.0]}
    assert not first._forward_hooks and not second._forward_hooks
