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


def drawn_from(variant, model):
    """What the prediction is drawn from: its numbers, or, where they are bins, the logits of the first ones.

    An action that is a bin is right or wrong by a bin, however small the error of the model.
    """
    logits = []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, out: logits.append(out)) if head is not None else None
    found = variant.predict(model, variant.prediction())
    if hook is not None:
        hook.remove()
    return logits[0] if getattr(model.config, "action_head", None) == "discrete" else found


def of_packed_weights(model, load, kind):
    """The saved model with those weights in float32 that a model in 4 bits holds packed."""
    from bitsandbytes.functional import dequantize_4bit

    wanted = load()
    with torch.no_grad():
        for key, module in model.named_modules():
            if isinstance(module, kind):
                values = dequantize_4bit(module.weight.data, module.weight.quant_state)
                wanted.get_submodule(key).weight.copy_(values)
    return wanted


@pytest.mark.newest
@pytest.mark.parametrize("bits", [4, 8])
def test_bits_are_those_of_the_pretrained_parts_and_actions_are_near(variant, saved, load, bitsandbytes, bits):
    """In 4 bits those of the very weights that are packed; these are so coarse that actions of a tiny model, whose
    weights are drawn at random, may be anywhere."""
    model = load(quantization_config=BitsAndBytesConfig(**{f"load_in_{bits}bit": True}))
    kind = {4: bitsandbytes.nn.Linear4bit, 8: bitsandbytes.nn.Linear8bitLt}[bits]
    small = [key for key, module in model.named_modules() if isinstance(module, kind)]
    assert small and all(is_pretrained(model, key) for key in small)
    for key in small:  # some processors repack weights of layers in evaluation mode
        model.get_submodule(key).train()
    found, full = drawn_from(variant, model), drawn_from(variant, saved.model)
    assert found.isfinite().all() and model.dtype == torch.float32
    distance = (found - full).abs().mean()
    assert distance > 0 and (bits == 4 or distance < 0.4 * full.std())
    if bits == 4:
        wanted = drawn_from(variant, of_packed_weights(model, load, kind))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@few
def test_eight_bits_of_torchao_are_near(variant, saved, load):
    quantization = pytest.importorskip("torchao.quantization", reason="pip install 'vlahub[quant]'")
    options = TorchAoConfig(quantization.Int8WeightOnlyConfig(), modules_to_not_convert=["lm_head"])
    model = load(quantization_config=options, dtype=torch.float32)
    small = [m for m in model.modules() if isinstance(m, nn.Linear) and type(m.weight.data) is not torch.Tensor]
    found = variant.predict(model, variant.prediction())
    assert len(small) > 10
    assert 0 < (found - saved.actions).abs().mean() < 0.4 * saved.actions.std()
