"""What sharding says of a model and of accelerate, without a second process."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from vlahub.errors import InputError
from vlahub.training.sharding import keep_inputs_whole, tied_again


def test_gathered_weights_that_the_model_ties_are_one_tensor_again():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "norm": nn.LayerNorm(3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    gathered = {name: value.clone() for name, value in model.state_dict().items()}
    found = tied_again(model, gathered)
    assert found.keys() == gathered.keys()
    assert found["head.weight"] is found["embed.weight"] is gathered["embed.weight"]
    assert found["norm.weight"] is gathered["norm.weight"]


def test_what_goes_into_a_model_and_comes_out_is_not_rounded_under_fsdp2():
    given = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.bfloat16)
    plugin = SimpleNamespace(mixed_precision_policy=given)
    keep_inputs_whole(SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin), is_fsdp2=True))
    whole = MixedPrecisionPolicy(torch.bfloat16, torch.float32, output_dtype=None, cast_forward_inputs=False)
    assert plugin.mixed_precision_policy == whole


@pytest.mark.parametrize("dtype", ["bf16", "fp16", None])
def test_fsdp1_is_refused_where_it_would_round_what_goes_into_a_model(dtype):
    plugin = FullyShardedDataParallelPlugin(fsdp_version=1)
    accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin), is_fsdp2=False)
    if dtype is None:
        keep_inputs_whole(accelerator)
        return
    plugin.set_mixed_precision(dtype)
    with pytest.raises(InputError, match=r"FSDP1 in lower precision rounds.*fsdp_version: 2"):
        keep_inputs_whole(accelerator)
