"""The language model of LLaVA-3D under its own name, what its model returns, and features of its views."""

import pytest
import torch
from tiny_configs import llava3d_config
from torch import nn
from transformers import DynamicCache, LlamaConfig, MistralConfig
from transformers.modeling_outputs import CausalLMOutputWithPast

from vlahub.errors import InputError
from vlahub.modeling.cache_names import OUTPUT_NAME
from vlahub.modeling.mapanything_llava3d.image_features import ImageParts, image_features
from vlahub.modeling.mapanything_llava3d.llava3d_language_model import LLaVA3DForCausalLMV2
from vlahub.modeling.mapanything_llava3d.llava3d_outputs import joined_output

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"num_key_value_heads": 2, "vocab_size": 20}
IDS, MASK = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]), torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])


@pytest.fixture(scope="module", params=[LlamaConfig, MistralConfig])
def model(request):
    torch.manual_seed(0)
    return LLaVA3DForCausalLMV2(request.param(**SIZES)).eval()


@torch.no_grad()
def test_every_argument_reaches_the_model_inside(model):
    positions = torch.arange(4).flip(0).expand(2, -1)
    embeds = model.get_input_embeddings()(IDS)
    plain = model(IDS).logits
    for given in (
        {"attention_mask": MASK},
        {"position_ids": positions},
        {"attention_mask": MASK, "position_ids": positions},
    ):
        found = model(IDS, **given).logits
        torch.testing.assert_close(found, model.model(IDS, **given).logits)
        torch.testing.assert_close(model(inputs_embeds=embeds, **given).logits, found)
        assert (found - plain).abs().max() > 1e-4
    assert model(IDS, use_cache=False).past_key_values is None
    assert model(IDS, labels=IDS).loss == model.model(IDS, labels=IDS).loss


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
@torch.no_grad()
def test_a_cache_goes_by_both_names(model, name):
    first = DynamicCache()
    model(IDS[:, :2], use_cache=True, **{name: first})
    assert first.get_seq_length() == 2
    found = model(IDS[:, 2:], use_cache=True, **{name: first}).logits
    torch.testing.assert_close(found, model(IDS).logits[:, 2:])
    with pytest.raises(InputError, match="two names of one argument"):
        model(IDS, cache=DynamicCache(), past_key_values=DynamicCache())


@torch.no_grad()
def test_labels_of_a_row_weigh_what_it_weighs(model):
    alone = [model(IDS[i : i + 1], labels=IDS[i : i + 1]).loss for i in range(2)]
    weighted = model(IDS, labels=IDS, sample_weight=torch.tensor([3.0, 1.0])).loss
    torch.testing.assert_close(weighted, (3 * alone[0] + alone[1]) / 4)
    total = model(IDS, labels=IDS, sample_weight=torch.tensor([3.0, 1.0]), num_items_in_batch=torch.tensor(24)).loss
    torch.testing.assert_close(total, weighted / 2)
    assert model(IDS, sample_weight=torch.tensor([3.0, 1.0])).loss is None
    plain = model(IDS, labels=IDS, num_items_in_batch=torch.tensor(12)).loss
    torch.testing.assert_close(plain, sum(alone) / 4)


def test_embeddings_and_head_are_those_of_the_model_inside():
    model = LLaVA3DForCausalLMV2(LlamaConfig(**SIZES))
    assert model.decoder is model.model.model and model.get_output_embeddings() is model.model.lm_head
    embeddings, head = nn.Embedding(20, 16), nn.Linear(16, 20)
    model.set_input_embeddings(embeddings)
    model.set_output_embeddings(head)
    assert model.model.model.embed_tokens is embeddings and model.model.lm_head is head


# Outputs


def test_losses_are_summed_and_each_is_told():
    cache = DynamicCache()
    text = CausalLMOutputWithPast(loss=torch.tensor(2.0), logits=torch.ones(1), **{OUTPUT_NAME: cache})
    features = torch.zeros(1)
    both = joined_output(text, torch.tensor(3.0), features)
    assert (both.loss, both.lm_loss, both.action_loss) == (5, 2, 3)
    assert both.logits is text.logits and both.image_hidden_states is features and both.past_key_values is cache
    alone = joined_output(text, None, None)
    assert (alone.loss, alone.lm_loss, alone.action_loss) == (2, 2, None)


# Features


GEOMETRY = torch.tensor([1.0, 3.0])[:, None, None].expand(2, 2, 3)  # of two samples, two tokens each


def parts(**given):
    """Parts that add a number of their own, so that the order in which they work shows."""
    known = {
        "tower": lambda pixels: pixels.flatten(2).mT[:, :2],
        "projector": lambda features: features * 10,
        "geometry": lambda pixels, intrinsic: (
            torch.stack([torch.full((2, 3), 1.0), torch.full((2, 3), 3.0)]) + intrinsic
        ),
        "geometry_projector": lambda features: features + 0.5,
        "fusion": lambda features: features,
    }
    return ImageParts(**known | given)


def test_features_of_both_branches_stand_side_by_side_in_the_order_of_the_views():
    config = llava3d_config()
    pixels = torch.arange(2 * 2 * 3 * 2 * 2, dtype=torch.float32).view(2, 2, 3, 2, 2) / 50
    seen = image_features(parts(projector=None, geometry=None, geometry_projector=None, fusion=None), config, pixels)
    assert seen.shape == (2, 4, 3)
    alone = parts(projector=None, geometry=None, geometry_projector=None, fusion=None)
    for view in range(2):
        torch.testing.assert_close(seen[:, 2 * view : 2 * view + 2], image_features(alone, config, pixels[:, view]))
    both = image_features(parts(), config, pixels, torch.tensor(0.25))
    torch.testing.assert_close(both[..., :3], seen * 10)
    assert torch.equal(both[..., 3:], torch.tensor([1.75, 3.75])[:, None, None].expand(2, 4, 3))


def test_a_share_of_the_first_branchs_tokens_is_dropped():
    config, pixels = llava3d_config(), torch.rand(2, 2, 3, 2, 2) + 0.1
    torch.manual_seed(0)
    found = image_features(parts(), config, pixels, torch.tensor(0.0), dropout=0.5)
    dropped = (found[..., :3] == 0).all(-1)
    assert dropped.any() and not dropped.all() and (found[..., 3:] != 0).all()
