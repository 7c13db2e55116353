"""Language models that bound their scores of attention do so by default and after every choice, on every release."""

from contextlib import suppress

import pytest
import torch
from tiny_text_models import tiny_text_config, weights_that_matter
from tiny_vlms import SIGLIP
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, SiglipVisionModel

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction

pytestmark = pytest.mark.newest
CAP = 0.05  # far below the scores, so that they are others without it
HEAD = {"action_dim": 3, "num_action_chunks": 2, "action_head": "mlp"}


def parts_of(kind):
    """Fields of a composed config."""
    text = tiny_text_config("gemma2" if kind == "paligemma" else kind).to_dict()
    text["attn_logit_softcapping"] = CAP
    if kind == "paligemma":
        vlm = {"model_type": kind, "text_config": text, "vision_config": SIGLIP, "projection_dim": text["hidden_size"]}
        return {"vlm_config": {**vlm, "image_token_index": text["vocab_size"] - 1}}
    return {"vision_config": SIGLIP, "text_config": text}


@pytest.fixture(scope="module", params=["gemma2", "vaultgemma", "paligemma"])
def composed(request):
    model = MultimodalVLAForActionPrediction(MultimodalVLAConfig(**parts_of(request.param), **HEAD))
    return weights_that_matter(model)


def states(model):
    """What its language part makes of embeddings."""
    part = model.backbone.language_part
    inputs = torch.randn(2, 7, part.config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return getattr(part, "model", part)(inputs_embeds=inputs).last_hidden_state


def test_scores_are_bounded_by_default(composed, tmp_path):
    found = states(composed)
    composed.save_pretrained(tmp_path)
    loaded = MultimodalVLAForActionPrediction.from_pretrained(tmp_path)
    eager = MultimodalVLAForActionPrediction.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(states(loaded), found) and torch.equal(states(eager), found)
    eager.backbone.language_part.config.attn_logit_softcapping = None
    for module in eager.backbone.language_part.modules():
        if hasattr(module, "attn_logit_softcapping"):
            module.attn_logit_softcapping = None
    assert (states(eager) - found).abs().max() > 1e-3


@pytest.mark.parametrize("choice", ["sdpa", "eager"])
@pytest.mark.parametrize("is_of_part", [False, True])
def test_no_choice_of_attention_leaves_the_bound_out(composed, choice, is_of_part):
    part = "text_config" if composed.config.vlm_config is None else "vlm_config"
    found = states(composed)
    with suppress(ValueError):  # of transformers 5.21 and newer, which refuse sdpa
        composed.set_attn_implementation({part: choice} if is_of_part else choice)
    assert composed.backbone.language_part.config._attn_implementation == "eager"
    assert torch.equal(states(composed), found)


@pytest.mark.parametrize("kind", ["gemma2", "paligemma"])
def test_pretrained_parts_are_bounded_too(kind, tmp_path):
    fields = MultimodalVLAConfig(**parts_of(kind), **HEAD)
    if kind == "paligemma":
        AutoModelForImageTextToText.from_config(fields.vlm_config).save_pretrained(tmp_path)
        model = MultimodalVLAForActionPrediction.from_vlm(str(tmp_path), **HEAD)
    else:
        text = AutoModelForCausalLM.from_config(fields.text_config)
        text.save_pretrained(tmp_path / "text")
        SiglipVisionModel(fields.vision_config).save_pretrained(tmp_path / "vision")
        model = MultimodalVLAForActionPrediction.from_backbones(
            str(tmp_path / "vision"), str(tmp_path / "text"), **HEAD
        )
    found = states(weights_that_matter(model))
    model.set_attn_implementation("eager")
    assert torch.equal(states(model), found)
