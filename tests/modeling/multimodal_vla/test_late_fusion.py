"""With late fusion the text model of a VLM reads the text alone: places of images are hidden from it."""

import pytest
import torch
from tiny_text_models import BLOCK, weights_that_matter

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction

IMAGE, COUNT = 290, 4
TEXT = {"model_type": "llama", "hidden_size": 32, **BLOCK, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300}
TOWER = {"hidden_size": 24, **BLOCK, "image_size": 28, "patch_size": 14}
CLIP = {"model_type": "clip_vision_model", **TOWER, "num_hidden_layers": 3}
LLAVA = {"model_type": "llava", "text_config": TEXT, "vision_config": CLIP, "image_token_index": IMAGE}
ROWS = torch.tensor([[1, 5, *[IMAGE] * COUNT, 6, 7, 8, 9], [1, *[IMAGE] * COUNT, 11, 12, 13, 14, 15]])


def made(fusion):
    head = {"action_dim": 3, "num_action_chunks": 2, "action_head": "mlp"}
    config = MultimodalVLAConfig(vlm_config=LLAVA, fusion=fusion, **head)
    config.norm_stats = {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}}}
    return weights_that_matter(MultimodalVLAForActionPrediction(config))


def pixels():
    return torch.randn(2, 1, 3, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fusion", ["late", "early", "cross_attention"])
def test_text_is_learnt_without_actions_as_with_them(fusion):
    model, given = made(fusion), {"input_ids": ROWS, "pixel_values": pixels()}
    given["labels"] = torch.where(torch.arange(ROWS.shape[1]) < 7, -100, ROWS)
    alone = model(**given)
    both = model(**given, actions=torch.zeros(2, 2, 3))
    assert alone.action_loss is None and both.action_loss is not None
    torch.testing.assert_close(alone.lm_loss, both.lm_loss)


@pytest.mark.parametrize(("fusion", "is_hidden"), [("late", True), ("early", True), ("late, other text", False)])
def test_what_stands_in_the_places_of_images_does_not_matter(fusion, is_hidden):
    """Neither what such a place is embedded as, nor, with late fusion, what the images are to the text's states."""
    model = made(fusion.partition(",")[0])
    before = model.predict_action(ROWS, pixels())
    with torch.no_grad():
        model.get_input_embeddings().weight[IMAGE if is_hidden else 6] += 3
    after = model.predict_action(ROWS, pixels())
    assert torch.equal(before, after) is is_hidden
