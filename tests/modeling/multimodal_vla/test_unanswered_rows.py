"""What a device finds out only while it predicts: a row that cannot be answered is NaN and never a guess, and with
`check_finite` an error says why. A CPU looks before; here it does not."""

import pytest
import torch
from model_variants import VARIANTS

from vlahub.errors import InputError
from vlahub.modeling.multimodal_vla import multimodal_inputs, vlm_backbone

COMPOSED = [name for name, variant in VARIANTS.items() if name.startswith(("composed", "vlm"))]
IMAGE = 290


@pytest.fixture(autouse=True)
def nothing_is_looked_at_before(monkeypatch):
    monkeypatch.setattr(multimodal_inputs, "check_rows", lambda real: None)
    monkeypatch.setattr(vlm_backbone, "check_count", lambda found, wanted: None)


@pytest.mark.parametrize("name", COMPOSED)
def test_a_row_without_text_is_nan_and_the_others_are_what_they_were(name):
    variant = VARIANTS[name]
    model, inputs = variant.model().eval(), variant.prediction()
    wanted = model.predict_action(**inputs, check_finite=False)
    inputs["attention_mask"] = inputs["attention_mask"].clone()
    inputs["attention_mask"][0] = 0
    found = model.predict_action(**inputs, check_finite=False)
    assert found[0].isnan().all()
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="row of padding alone"):
        model.predict_action(**inputs)


def test_miscounted_image_tokens_make_every_row_nan():
    variant = VARIANTS["vlm-paligemma-flow"]
    model, inputs = variant.model().eval(), variant.prediction()
    row, place = (inputs["input_ids"] == IMAGE).nonzero()[0]
    inputs["input_ids"] = inputs["input_ids"].clone()
    inputs["input_ids"][row, place] = 5
    assert model.predict_action(**inputs, check_finite=False).isnan().all()
    with pytest.raises(InputError, match="input_ids has 7 image tokens, the images 8 features"):
        model.predict_action(**inputs)


@pytest.mark.parametrize("name", ["state", "noise"])
def test_what_is_read_is_looked_at_though_the_answer_is_finite(name, monkeypatch):
    """As where a head clamps or a norm swallows what is not."""
    variant = VARIANTS["composed-flow"]
    model, inputs = variant.model().eval(), variant.prediction()
    head = type(model.head)
    predict = head.predict
    monkeypatch.setattr(
        head,
        "predict",
        lambda self, *given: predict(self, *given)._replace(normalized=torch.zeros_like(inputs["noise"])),
    )
    assert model.predict_action(**inputs).isfinite().all()
    inputs[name] = inputs[name].clone()
    inputs[name].view(-1)[0] = torch.nan
    with pytest.raises(ArithmeticError, match=name):
        model.predict_action(**inputs)
