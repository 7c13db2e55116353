"""What no checkpoint holds and a backbone computes by itself is after loading what it was before."""

import pytest
import torch
from of_this_release import skip_unless_here
from tiny_configs import composed_config
from tiny_text_models import tiny_text_config
from tiny_towers import TOWERS, encoder_config, tower_config
from tiny_vlms import TINY_VLMS, tiny_vlm

from vlahub import MultimodalVLAForActionPrediction
from vlahub.configuration.multimodal_vla.backbone_facts import POSITIONS_BEHIND_PADDING, TEXT_ENCODERS
from vlahub.configuration.multimodal_vla.proven_backbones import LANGUAGE_MODELS

FIELDS = {
    "text": lambda kind: {"text_config": tiny_text_config(kind)},
    "encoder": lambda kind: {"text_config": encoder_config(kind)},
    "tower": lambda kind: {"vision_config": tower_config(kind)},
    "vlm": lambda kind: {"vlm_config": tiny_vlm(kind)[0]},
}
KINDS = {
    "text": dict.fromkeys((*LANGUAGE_MODELS, *POSITIONS_BEHIND_PADDING)),
    "encoder": TEXT_ENCODERS,
    "tower": TOWERS,
    "vlm": TINY_VLMS,
}
FAST = {"falcon_h1", "llama", "gemma3_text", "swin", "dinov3_vit", "minicpmv4_6", "gemma3"}
CASES = [
    pytest.param(part, kind, id=f"{part}-{kind}", marks=() if kind in FAST else pytest.mark.slow)
    for part, kinds in KINDS.items()
    for kind in kinds
]


@pytest.fixture
def memory_is_filled():
    """Memory that nothing was written to holds NaN, and the largest of whole numbers."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.newest
@pytest.mark.parametrize(("part", "kind"), CASES)
def test_buffers_of_a_loaded_backbone_are_those_of_the_saved_one(part, kind, memory_is_filled, tmp_path):
    skip_unless_here(kind)
    model = MultimodalVLAForActionPrediction(composed_config(**FIELDS[part](kind), action_head="mlp"))
    model.save_pretrained(tmp_path)
    found = dict(type(model).from_pretrained(tmp_path, dtype=torch.float32).named_buffers())
    wanted = dict(model.named_buffers())
    assert found.keys() == wanted.keys()
    assert [name for name, value in wanted.items() if not torch.equal(found[name], value)] == []
