"""Backbones whose layers keep some of their states in float32 predict and learn in 16 bits as the others do."""

import copy

import pytest
import torch
from of_this_release import skip_unless_here
from tiny_configs import COMPOSED, SIGLIP, composed_config
from tiny_text_models import tiny_text_config, weights_that_matter
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from vlahub import MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.proven_backbones import LANGUAGE_MODELS

FAST = ("mamba", "falcon_mamba", "falcon_h1", "qwen3_next", "llama", "ctrl", "apertus")
KINDS = [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in LANGUAGE_MODELS]


@pytest.mark.newest
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_language_model_predicts_and_learns_in_16_bits(kind, dtype, tmp_path):
    skip_unless_here(kind)
    config = composed_config(text_config=tiny_text_config(kind), action_head="mlp", use_state=False, state_dim=None)
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    generator = torch.Generator().manual_seed(0)
    prompt = {
        "input_ids": torch.randint(3, 200, (2, 5), generator=generator),
        "pixel_values": torch.randn(2, 1, 3, 28, 28, generator=generator),
    }
    wanted = model.predict_action(**prompt)
    model.save_pretrained(tmp_path)
    model = type(model).from_pretrained(tmp_path, dtype=dtype)
    found = model.predict_action(**prompt)
    assert found.dtype == torch.float32 and (found - wanted).abs().mean() < 0.3 * wanted.abs().mean()
    loss = model(**prompt, actions=torch.rand(2, config.num_action_chunks, config.action_dim, generator=generator)).loss
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.action_head.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["apertus", "ctrl"])
def test_pretrained_language_models_with_constants_of_their_own_predict_in_16_bits(kind, dtype, tmp_path):
    AutoModelForCausalLM.from_config(tiny_text_config(kind)).save_pretrained(tmp_path / "text")
    AutoModel.from_config(AutoConfig.for_model(**SIGLIP)).save_pretrained(tmp_path / "vision")
    paths = str(tmp_path / "vision"), str(tmp_path / "text")
    model = MultimodalVLAForActionPrediction.from_backbones(*paths, dtype=dtype, **COMPOSED).eval()
    configs = model.config.text_config.to_dict(), model.backbone.language_model.config.to_dict()
    assert configs[0] == configs[1] | {"dtype": configs[0]["dtype"]}
    prompt = {"input_ids": torch.tensor([[5, 6, 7]]), "pixel_values": torch.randn(1, 1, 3, 28, 28)}
    prompt["state"] = torch.zeros(1, model.config.state_dim)
    wanted = model.predict_action(**prompt)
    assert copy.deepcopy(model).predict_action(**prompt).equal(wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["openai-gpt", "xglm", "falcon_h1", "ernie4_5_moe", "llama"])
def test_a_model_that_is_cast_to_16_bits_predicts_in_them(kind, dtype):
    config = composed_config(text_config=tiny_text_config(kind), action_head="mlp", use_state=False, state_dim=None)
    model = weights_that_matter(MultimodalVLAForActionPrediction(config))
    prompt = {"input_ids": torch.tensor([[5, 6, 7]]), "pixel_values": torch.randn(1, 1, 3, 28, 28)}
    wanted = model.predict_action(**prompt)
    found = model.to(dtype).predict_action(**prompt)
    assert (found - wanted).abs().mean() < 0.3 * wanted.abs().mean()
