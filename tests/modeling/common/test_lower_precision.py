"""Every variant in 4 and 8 bits by bitsandbytes, and in 8 bits by torchao: it loads, and predicts nearly the same."""

import pytest
import torch
from model_variants import FEW
from torch import nn
from transformers import BitsAndBytesConfig, TorchAoConfig

from vlahub.modeling.model_parts import is_pretrained

few = pytest.mark.parametrize("variant", FEW, indirect=True)


@pytest.fixture
def bitsandbytes():
    return pytest.importorskip("bitsandbytes", reason="pip install 'vlahub[quant]'")


@pytest.mark.newest
@pytest.mark.parametrize("bits", [4, 8])
def test_bits_are_those_of_the_pretrained_parts_and_actions_are_near(variant, saved, load, bitsandbytes, bits):
    model = load(quantization_config=BitsAndBytesConfig(**{f"load_in_{bits}bit": True}))
    kind = {4: bitsandbytes.nn.Linear4bit, 8: bitsandbytes.nn.Linear8bitLt}[bits]
    small = [key for key, module in model.named_modules() if isinstance(module, kind)]
    assert small and all(is_pretrained(model, key) for key in small)
    for key in small:  # some processors repack weights of layers in evaluation mode
        model.get_submodule(key).train()
    found = variant.predict(model, variant.prediction())
    assert found.isfinite().all() and model.dtype == torch.float32
    error = (found - saved.actions).abs().mean()
    assert 0 < error < {4: 0.8, 8: 0.4}[bits] * saved.actions.std()


@few
def test_eight_bits_of_torchao_are_near(variant, saved, load):
    quantization = pytest.importorskip("torchao.quantization", reason="pip install 'vlahub[quant]'")
    options = TorchAoConfig(quantization.Int8WeightOnlyConfig(), modules_to_not_convert=["lm_head"])
    model = load(quantization_config=options, dtype=torch.float32)
    small = [m for m in model.modules() if isinstance(m, nn.Linear) and type(m.weight.data) is not torch.Tensor]
    found = variant.predict(model, variant.prediction())
    assert len(small) > 10
    assert 0 < (found - saved.actions).abs().mean() < 0.4 * saved.actions.std()
