"""Every family predicts in bfloat16 on a CPU: nearly the same, and a weight that is not finite is named there, too."""

import re

import numpy as np
import pytest
import torch

from vlahub.errors import NonFiniteError

VIEWS = np.random.RandomState(0).randint(0, 255, (2, 60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def processor(family, family_checkpoint):
    return family.processor.from_pretrained(family_checkpoint)


def loaded(family, checkpoint, dtype):
    model = family.model.from_pretrained(checkpoint, dtype=dtype).eval()
    assert model.dtype == dtype
    return model


def test_a_prediction_in_bfloat16_is_nearly_that_in_float32(family, family_checkpoint, family_call, processor):
    wanted = family_call(loaded(family, family_checkpoint, torch.float32), processor, VIEWS)
    found = family_call(loaded(family, family_checkpoint, torch.bfloat16), processor, VIEWS)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    assert (found - wanted).abs().mean() < 0.1 * wanted.abs().mean()
    assert not torch.equal(found, wanted)


def test_a_weight_of_bfloat16_that_is_not_finite_is_named(family, family_checkpoint, family_call, processor):
    model = loaded(family, family_checkpoint, torch.bfloat16)
    name, weight = next((n, p) for n, p in model.named_parameters() if "norm" in n and p.dim() == 1)
    with torch.no_grad():
        weight[0] = float("nan")
    with pytest.raises(NonFiniteError, match=rf"computed from: .*{re.escape(name)}"):
        family_call(model, processor, VIEWS)
