"""Numbers of layers in a config are held against the tensors there are, wherever they stand in it."""

import pytest
import torch
from safetensors.torch import save_file

from vlahub.conversion.tensors.size_limits import FEW, LAYERS, check_layers, check_layers_of, numbers_of_layers
from vlahub.errors import ConversionError

CONFIG = {
    "num_hidden_layers": 3,
    "hidden_size": 10**9,
    "vision_config": {"depth": 4.0, "blocks": [{"num_layers": 5}, {"num_blocks": 6}], "n_layer": True},
    "n_layers": "7",
}


def test_numbers_of_layers_are_found_in_every_part_under_its_name():
    assert dict(numbers_of_layers(CONFIG)) == {
        "num_hidden_layers": 3,
        "vision_config.depth": 4.0,
        "vision_config.blocks.num_layers": 5,
        "vision_config.blocks.num_blocks": 6,
    }


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("tensors", [0, FEW - 1, FEW, FEW + 10])
def test_as_many_layers_as_tensors_or_a_few_are_built_and_no_more(name, tensors):
    most = max(tensors, FEW)
    check_layers({"part": {name: most}}, tensors, "x/config.json")
    with pytest.raises(
        ConversionError, match=rf"^x/config\.json says part\.{name}={most + 1}, but there are {tensors} "
    ):
        check_layers({"part": {name: most + 1}}, tensors, "x/config.json")


def test_a_checkpoint_is_held_against_its_own_tensors(tmp_path):
    check_layers_of(tmp_path, {"depth": 10**6})  # no weights at all: whoever reads them says so
    save_file({f"{i}": torch.zeros(1) for i in range(FEW + 1)}, tmp_path / "model.safetensors")
    check_layers_of(tmp_path, {"depth": FEW + 1})
    with pytest.raises(ConversionError, match=rf"config\.json says depth={FEW + 2}, but there are {FEW + 1} tensors"):
        check_layers_of(tmp_path, {"depth": FEW + 2})
