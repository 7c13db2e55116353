"""Constants that a checkpoint holds as tensors are taken out where they are the config's, and else refused."""

import pytest
import torch

from vlahub.errors import ConfigError
from vlahub.modeling.alpamayo_r1.published_constants import drop_constants

WANTED = {"missing": torch.zeros(1), "scale": torch.tensor([1.0, -3.0]), "offset": torch.tensor(0.0)}


def stored(**changed):
    known = {"scale": torch.tensor([1.0, -3.0]), "offset": torch.tensor(0.0)}
    return {"head.weight": torch.ones(2), **{f"head.{name}": value for name, value in (known | changed).items()}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_constants_of_the_config_are_taken_out_and_the_rest_stays(dtype):
    state = {name: value.to(dtype) for name, value in stored(scale=torch.tensor([1.003, -2.995])).items()}
    drop_constants(state, "head.", WANTED)
    assert set(state) == {"head.weight"}


@pytest.mark.parametrize(
    "changed",
    [
        {"scale": torch.tensor([1.01, -3.0])},
        {"scale": torch.tensor([1.0, 3.0])},
        {"scale": torch.tensor([1.0])},
        {"scale": torch.tensor([[1.0, -3.0]])},
        {"scale": torch.tensor([1.0, float("nan")])},
        {"offset": torch.tensor(1e-6)},
    ],
    ids=str,
)
def test_another_constant_is_refused_by_name(changed):
    with pytest.raises(ConfigError, match=rf"^head\.{next(iter(changed))} is .* in the weights, but the config gives"):
        drop_constants(stored(**changed), "head.", WANTED)
