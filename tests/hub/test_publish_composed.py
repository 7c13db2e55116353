"""A composed VLA is pushed with its processor and both tokenizers, and loads by name in a process without vlahub."""

COMPOSE = """
import sys, torch
sys.path.insert(0, examples)
from pathlib import Path
from tiny_backbones import SIZES, write_backbones
from transformers import AutoTokenizer, SiglipConfig, SiglipModel
from vlahub import MultimodalVLAForActionPrediction, MultimodalVLAProcessor

write_backbones(Path(folder))
torch.manual_seed(0)
text = {**SIZES, "projection_size": 32, "vocab_size": 320, "max_position_embeddings": 12}
vision = {**SIZES, "image_size": 56, "patch_size": 14}
SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder + "/towers")
tokenizer = AutoTokenizer.from_pretrained(folder + "/language")
tokenizer.save_pretrained(folder + "/towers")
model = MultimodalVLAForActionPrediction.from_backbones(
    folder + "/towers", folder + "/language", grounding=True,
    projector_type="qformer", num_latents=4, fusion="cross_attention",
    norm_stats={"a": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}}},
).eval()
processor = MultimodalVLAProcessor.for_config(model.config, tokenizer)
model.push_to_hub(name)
processor.push_to_hub(name)
"""
LOAD = """
import sys, torch
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
model = AutoModelForImageTextToText.from_pretrained(name, trust_remote_code=True)
"""
PREDICT = """
from PIL import Image
views = [Image.new("RGB", (64, 48), color) for color in ((200, 30, 30), (30, 30, 200))]
result = model.predict_action(**processor(images=views, text="pick up the red bowl")).tolist()
scores = model.grounding_score(**processor(images=views, text="the red bowl", grounding=True))
result += [[round(score, 5) for score in row] for row in scores.tolist()]
"""
WITHOUT_VLAHUB = "result = [m for m in sys.modules if m.split('.')[0] == 'vlahub' and sys.modules[m]]"


def test_a_composed_model_loads_by_name_without_vlahub(hub, pusher, python, tmp_path, examples_folder):
    names = {"folder": str(tmp_path), "name": "user/composed", "examples": str(examples_folder)}
    expected = pusher(COMPOSE + PREDICT, **names)
    reader = python(vlahub=False)

    assert reader(LOAD + PREDICT, name="user/composed") == expected
    assert reader(WITHOUT_VLAHUB) == []
    card = hub.repositories["user/composed"].text("README.md")
    assert 'repository = "user/composed"' in card and 'unnorm_key="a"' in card and "- robotics\n" in card
    assert "More Information Needed" not in card
    actions, scores = expected
    assert len(actions) == 8 and len(actions[0]) == 7 and len(scores) == 2
