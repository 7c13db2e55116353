"""Models without memory: made on the meta device or by accelerate's `init_empty_weights`, and filled afterwards."""

import pytest
import torch
import transformers
from accelerate import init_empty_weights, load_checkpoint_in_model
from model_variants import FEW
from safetensors.torch import load_file

few = pytest.mark.parametrize("variant", FEW, indirect=True)
computes_buffers = pytest.mark.skipif(
    transformers.__version__.startswith("4."),
    reason="transformers 4.57 fills parameters in `initialize_weights`, and no buffers: rotary frequencies stay empty",
)


@pytest.mark.newest
def test_a_model_on_the_meta_device_has_the_same_names_shapes_and_dtypes(variant, saved):
    with torch.device("meta"):
        model = variant.kind(variant.make())
    found, wanted = model.state_dict(), saved.model.state_dict()
    assert {value.device.type for value in model.parameters()} == {"meta"}
    assert {key: (value.shape, value.dtype) for key, value in found.items()} == {
        key: (value.shape, value.dtype) for key, value in wanted.items()
    }


@pytest.mark.newest
def test_a_model_of_empty_weights_that_is_filled_predicts_the_same(variant, saved):
    """As for a checkpoint that goes to several devices: buffers are computed, weights come from the file."""
    with init_empty_weights():
        model = variant.kind(variant.make())
    assert {value.device.type for value in model.parameters()} == {"meta"}
    model.load_state_dict(load_file(saved.folder / "model.safetensors"), strict=False, assign=True)
    model.tie_weights()
    left = [key for key, value in [*model.named_parameters(), *model.named_buffers()] if value.is_meta]
    assert left == []
    assert torch.equal(variant.predict(model.eval(), variant.prediction()), saved.actions)


@few
def test_accelerate_fills_a_model_of_empty_weights_from_its_own_state(variant, saved, tmp_path):
    torch.save(saved.model.state_dict(), tmp_path / "pytorch_model.bin")
    with init_empty_weights():
        model = variant.kind(variant.make())
    model.tie_weights()
    load_checkpoint_in_model(model, str(tmp_path / "pytorch_model.bin"), device_map={"": "cpu"})
    assert torch.equal(variant.predict(model.eval(), variant.prediction()), saved.actions)


@computes_buffers
def test_a_model_without_memory_costs_none_and_is_given_its_own(variant, saved):
    """`to_empty` and the weights of another model; what is computed is computed by `init_weights`."""
    with torch.device("meta"):
        model = variant.kind(variant.make())
    model = model.to_empty(device="cpu")
    for module in model.modules():
        if not list(module.children()):
            module._is_hf_initialized = False
    for value in [*model.parameters(), *model.buffers()]:
        value._is_hf_initialized = False
    model.initialize_weights()
    model.load_state_dict(saved.model.state_dict())
    model.tie_weights()
    assert torch.equal(variant.predict(model.eval(), variant.prediction()), saved.actions)
