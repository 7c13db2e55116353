"""sdpa and eager attention are the same numbers, chosen when a model is loaded or afterwards."""

import pytest
import torch
import transformers
from model_variants import VARIANTS
from transformers import PreTrainedModel

from vlahub.errors import ConfigError

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.newest
def test_eager_predicts_what_sdpa_does(variant, saved, load):
    model = load(attn_implementation="eager")
    assert model.config._attn_implementation == "eager"
    torch.testing.assert_close(variant.predict(model, variant.prediction()), saved.actions, **CLOSE)


def test_sdpa_is_the_default_in_every_part(saved):
    parts = [module.config for module in saved.model.modules() if hasattr(module, "config")]
    if transformers.__version__.startswith("4."):  # whose Q-former knows no other than eager attention
        parts = [part for part in parts if part.model_type != "blip_2_qformer"]
    assert {part._attn_implementation for part in parts} <= {"sdpa", None} and len(parts) > 2


def test_eager_has_the_loss_and_the_gradients_of_sdpa(variant, saved, load):
    found, wanted = load(attn_implementation="eager"), variant.model()
    losses = [model(**variant.training()).loss for model in (found, wanted)]
    torch.testing.assert_close(*losses, **CLOSE)
    for loss in losses:
        loss.backward()
    for key, value in wanted.named_parameters():
        if value.grad is not None:
            error = (found.get_parameter(key).grad - value.grad).norm()
            assert error < 1e-3 * value.grad.norm() + 1e-5, key


def test_what_is_saved_says_nothing_of_attention(saved):
    assert "attn_implementation" not in (saved.folder / "config.json").read_text()


def test_an_attention_that_is_none_is_refused(load):
    with pytest.raises((ConfigError, ValueError), match="fancy"):
        load(attn_implementation="fancy")


def test_flash_attention_is_refused_where_masks_do_not_allow_it(variant, load):
    """An Alpamayo-R1 has it in its language model, and says what is missing where it is not installed."""
    with pytest.raises((ConfigError, ImportError, ValueError)) as raised:
        load(attn_implementation="flash_attention_2")
    refused = isinstance(raised.value, ConfigError) and "flash attention does not take its masks" in str(raised.value)
    assert refused != variant.kind._supports_flash_attn


def test_each_choice_reaches_all_parts_and_is_not_saved(variant, tmp_path):
    model = variant.model()
    parts = [module.config for module in model.modules() if isinstance(module, PreTrainedModel)]
    if transformers.__version__.startswith("4.") and any(part.model_type == "blip_2_qformer" for part in parts):
        pytest.skip("the Q-former of 4.57 refuses sdpa")

    def found():
        return [part._attn_implementation for part in parts]

    begun = found()
    for part in parts[1:]:
        part._attn_was_changed = True  # as a config.json of transformers 4.57 may have it
    for chosen in ("eager", "sdpa", "eager"):
        model.set_attn_implementation(chosen)
        assert found() == ([chosen] * len(parts) if chosen == "eager" else begun)
    model.save_pretrained(tmp_path)
    assert "_attn_was_changed" not in (tmp_path / "config.json").read_text()


def test_a_choice_that_a_part_refuses_reaches_none(variant, monkeypatch):
    model = variant.model()
    parts = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    if transformers.__version__.startswith("4.") and any(part.config.model_type == "blip_2_qformer" for part in parts):
        pytest.skip("its Q-former is asked below")

    def refuse(*arguments, **options):
        raise ValueError("not in this part")

    before = [part.config._attn_implementation for part in parts]
    for part in parts[1:]:
        for name in ("get_correct_attn_implementation", "_check_and_adjust_attn_implementation"):
            monkeypatch.setattr(part, name, refuse)
    with pytest.raises(ValueError, match="not in this part"):
        model.set_attn_implementation("eager")
    assert [part.config._attn_implementation for part in parts] == before


def test_a_qformer_that_refuses_a_choice_leaves_the_other_parts_as_they_were():
    model = VARIANTS["composed-discrete-late"].model()
    parts = [module.config for module in model.modules() if isinstance(module, PreTrainedModel)]
    model.set_attn_implementation("eager")
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:  # on 4.57
        assert {part._attn_implementation for part in parts} == {"eager"}
    else:
        assert {part._attn_implementation for part in parts} == {"sdpa"}
