"""Processors of VLMs of transformers inside ours: chat templates, overrides, batches of training, loading alone."""

import importlib.util

import numpy as np
import pytest
import torch
from fresh_python import in_fresh_python
from PIL import Image
from tiny_vlms import SIZE, TINY_VLMS, layout_of, made, processor_of, tiny_vlm, tokenizer_with, without_videos
from transformers import AutoConfig

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction, MultimodalVLAProcessor, VLMImageProcessor
from vlahub.errors import ConfigError, InputError
from vlahub.processing.multimodal_vla.chat_prompts import chat_prompt
from vlahub.processing.multimodal_vla.own_classes_of_vlms import image_processor_class, processor_class
from vlahub.processing.multimodal_vla.pixtral_prompts import PixtralProcessor
from vlahub.training.multimodal_vla.collator_multimodal_vla import MultimodalVLACollator

HEAD = {
    "action_dim": 3,
    "num_action_chunks": 2,
    "num_action_bins": 32,
    "norm_stats": {"a": {"action": {"q01": [-1.0] * 3, "q99": [1.0] * 3}}},
}
ROLES = "{% for turn in messages %}START{{ turn['role'] }}\n{% for part in turn['content'] %}"
TEXT = "{{ part['text'] }}{% endif %}{% endfor %}END\n{% endfor %}"
TEXT += "{% if add_generation_prompt %}STARTassistant\n{% endif %}"


def noise(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def config_of(vlm, **fields):
    return MultimodalVLAConfig(vlm_config=vlm, **{**HEAD, **fields})


@pytest.mark.parametrize(
    ("written", "image_format"),
    [("<image>", "{image}"), ("<image>\n", "{image}\n"), ("<seen><image></seen>", "<seen>{image}</seen>")],
)
def test_the_prompt_is_that_of_the_chat_template_for_any_number_of_images(written, image_format):
    template = ROLES + "{% if part['type'] == 'image' %}" + written + "{% else %}" + TEXT
    found, form = chat_prompt(tokenizer_with("<image>"), template, "<image>")
    assert (found, form) == ("STARTuser\n{images}{instruction}END\nSTARTassistant\n", image_format)


@pytest.mark.parametrize("written", ["Picture {{ loop.index }}: <image>", "<picture>", "{{ part['url'].strip(3) }}"])
def test_a_chat_template_without_a_way_to_write_images_is_refused(written):
    template = ROLES + "{% if part['type'] == 'image' %}" + written + "{% else %}" + TEXT
    with pytest.raises(ConfigError, match="give prompt_template and image_format"):
        chat_prompt(tokenizer_with("<image>"), template, "<image>")


def test_a_chat_template_that_does_not_write_the_instruction_is_refused():
    images_alone = "{% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}"
    with pytest.raises(ConfigError, match="does not write '<image>' for each image in one way"):
        chat_prompt(tokenizer_with("<image>"), images_alone + "{% endfor %}", "<image>")


def test_a_vlms_own_chat_template_comes_before_the_documented_prompt():
    vlm, own = tiny_vlm("llava_next")
    own.chat_template = ROLES + "{% if part['type'] == 'image' %}<image>{% else %}" + TEXT
    found = MultimodalVLAProcessor.for_config(config_of(vlm), own)
    assert found.prompt_template == "STARTuser\n{images}{instruction}END\nSTARTassistant\n"
    assert found.add_special_tokens
    own.chat_template = {"default": own.chat_template, "tools": "{{ none }}"}
    assert MultimodalVLAProcessor.for_config(config_of(vlm), own).prompt_template == found.prompt_template


@pytest.mark.parametrize("is_written", [True, False])
def test_a_begin_token_that_the_template_writes_is_not_added_once_more(is_written):
    vlm, own = tiny_vlm("llava_next")
    begin = own.tokenizer.bos_token if is_written else ""
    own.chat_template = begin + ROLES + "{% if part['type'] == 'image' %}<image>{% else %}" + TEXT
    for given in ({}, {"prompt_template": f"{begin}{{images}}{{instruction}}", "image_format": "{image}"}):
        assert MultimodalVLAProcessor.for_config(config_of(vlm), own, **given).add_special_tokens != is_written


def test_a_tokenizer_with_a_chat_template_of_text_alone_gets_the_documented_prompt():
    vlm, own = tiny_vlm("internvl")
    own.tokenizer.chat_template = "{% for turn in messages %}{{ turn['content'] + 'END' }}{% endfor %}"
    found = MultimodalVLAProcessor.for_config(config_of(vlm), own.tokenizer)
    assert found.prompt_template.startswith("<|im_start|>user\n{images}{instruction}<|im_end|>")


def qwen():
    tokenizer = tokenizer_with("<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>")
    tokens = {"image_token_id": "<|image_pad|>", "vision_start_token_id": "<|vision_start|>"}
    tokens |= {"vision_end_token_id": "<|vision_end|>"}
    vlm = AutoConfig.for_model("qwen2_5_vl", **{n: tokenizer.convert_tokens_to_ids(t) for n, t in tokens.items()})
    settings = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 1280, "patch_size": 14}
    return vlm, processor_of("Qwen2_5_VLProcessor", "Qwen2VLImageProcessor", tokenizer, settings)


def paligemma():
    tokenizer = tokenizer_with("<image>")
    tower = {"model_type": "siglip_vision_model", "image_size": SIZE, "patch_size": 14}
    index = tokenizer.convert_tokens_to_ids("<image>")
    vlm = AutoConfig.for_model("paligemma", vision_config=tower, image_token_index=index, image_token_id=index)
    images = made(image_processor_class("SiglipImageProcessor", False), {"size": {"height": SIZE, "width": SIZE}})
    images.image_seq_length = 4
    return vlm, without_videos(processor_class("PaliGemmaProcessor"))(images, tokenizer)


def llava():
    tokenizer = tokenizer_with("<image>")
    tower = {"model_type": "clip_vision_model", "image_size": SIZE, "patch_size": 14}
    vlm = AutoConfig.for_model(
        "llava", vision_config=tower, image_token_index=tokenizer.convert_tokens_to_ids("<image>")
    )
    images = {"size": {"height": SIZE, "width": SIZE}, "do_center_crop": False}
    settings = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return vlm, processor_of("LlavaProcessor", "CLIPImageProcessor", tokenizer, images, **settings)


@pytest.mark.parametrize("make", [qwen, paligemma, llava])
def test_the_whole_processor_of_a_vlm_gives_what_its_tokenizer_alone_gives(make):
    vlm, own = make()
    config = config_of(vlm)
    whole, plain = (MultimodalVLAProcessor.for_config(config, one) for one in (own, own.tokenizer))
    inputs = {"images": [[noise(SIZE, SIZE)] * 2] * 2, "text": ["pick up the cube", "put"], "padding_side": "left"}
    found, wanted = whole(**inputs), plain(**inputs)
    assert torch.equal(found["input_ids"], wanted["input_ids"])
    torch.testing.assert_close(
        found["pixel_values"], wanted["pixel_values"].reshape(found["pixel_values"].shape), atol=1e-5, rtol=1e-5
    )


def test_settings_of_the_image_processor_may_be_changed_one_by_one():
    vlm, own = tiny_vlm("idefics3")
    whole = MultimodalVLAProcessor.for_config(
        config_of(vlm), own, image_settings={"do_image_splitting": False}, num_images_in_input=1
    )
    assert whole(images=noise(60, 30), text="put")["pixel_values"].shape == (1, 1, 3, SIZE, SIZE)
    with pytest.raises(InputError, match="2 images"):
        whole(images=[noise(28, 28)] * 2, text="put")


def test_another_tokenizer_than_the_vlms_is_refused():
    vlm, own = tiny_vlm("llava_next")
    vlm["image_token_index"] += 1
    with pytest.raises(ConfigError, match=r"vlm_config.image_token_id is .*is it the VLM's"):
        MultimodalVLAProcessor.for_config(config_of(vlm), own)


@pytest.mark.parametrize("names", [("NoSuchProcessor", "CLIPImageProcessor"), ("LlavaProcessor", "NoSuch")])
def test_classes_that_transformers_does_not_have_are_refused_by_name(names):
    images = {"image_processor_type": names[1]}
    with pytest.raises(ConfigError, match=r"'NoSuch.*cannot be used here"):
        VLMImageProcessor(names[0], {}, images).own_processor(tokenizer_with("<image>"))


@pytest.mark.parametrize("kind", ["mistral3", "pixtral"])
def test_pixtral_is_prepared_as_published_where_torchvision_is_missing(kind):
    """By transformers' own class, which 4.57 has without it, and by the documented layout."""
    vlm, own = tiny_vlm(kind)
    settings = {"patch_size": own.patch_size, "spatial_merge_size": own.spatial_merge_size}
    ours = without_videos(PixtralProcessor)(own.image_processor, own.tokenizer, **settings)
    samples = [[noise(30, 60), noise(28, 28)], [noise(64, 30)], [noise(56, 57)]]
    inputs = {"images": [[Image.fromarray(view) for view in views] for views in samples], "return_tensors": "pt"}
    inputs |= {"text": ["[INST][IMG][IMG]put[/INST]", "[IMG] the cube", "pick [IMG]"], "padding": True}
    found, wanted = ours(**inputs), own(**inputs)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    config = config_of(vlm)
    whole = MultimodalVLAProcessor.for_config(config, own)(images=samples[1:2], text=["put"])
    layout = layout_of(config.vlm_config, [[noise(*whole["image_sizes"][0].tolist())]], ["put"], "right")
    assert all(torch.equal(whole[name], layout[name]) for name in ("input_ids", "image_sizes"))


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_processor_that_needs_torchvision_says_so():
    tokenizer = tokenizer_with(image_token="<|IMG_PATCH|>", boi_token="<|START_OF_IMG|>", eoi_token="<|END_OF_IMG|>")
    vlm = AutoConfig.for_model("cohere2_vision", image_token_id=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"))
    with pytest.raises(ConfigError, match=r"'Cohere2VisionImageProcessor' cannot be used here.*torchvision"):
        MultimodalVLAProcessor.for_config(config_of(vlm), tokenizer)


@pytest.mark.parametrize(
    "kind",
    [
        "idefics3",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("gemma3", "glm4v", "llava_onevision", "mllama")),
    ],
)
def test_a_batch_of_training_reaches_the_model_with_answers_or_without(kind):
    vlm, own = tiny_vlm(kind)
    config = config_of(vlm, action_head="flow", expert_config={"num_hidden_layers": 1, "num_attention_heads": 2})
    processor, model = MultimodalVLAProcessor.for_config(config, own), MultimodalVLAForActionPrediction(config)
    examples = [
        {"images": [noise(28, 60)], "text": "pick up the cube", "answer": "red", "actions": np.zeros((2, 3))},
        {"images": [noise(56, 28)], "text": "put", "answer": "left right", "actions": np.ones((2, 3))},
    ]
    for learns in (False, True):
        collator = MultimodalVLACollator(config, processor, learn_text=learns)
        output = model.train()(**collator(examples))
        output.loss.backward()
        assert torch.isfinite(output.loss) and (output.lm_loss is not None) == learns
    assert collator.prediction_errors(model.eval(), examples, torch.device("cpu")).shape == (12,)


WITHOUT_VLAHUB = """
import sys
sys.modules["vlahub"] = None
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
folder, inputs, outputs = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
processor.save_pretrained(folder + "again")
processor = AutoProcessor.from_pretrained(folder + "again", trust_remote_code=True)
model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
found = processor(**torch.load(inputs, weights_only=False))
torch.save((dict(found), model.eval().predict_action(**found)), outputs)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", TINY_VLMS)
def test_a_checkpoint_loads_where_vlahub_is_not_installed(kind, tmp_path):
    vlm, own = tiny_vlm(kind)
    if own is None:
        pytest.skip("its processor needs torchvision on this line of transformers")
    config = config_of(vlm)
    model, processor = MultimodalVLAForActionPrediction(config), MultimodalVLAProcessor.for_config(config, own)
    for part in (model, processor):
        part.save_pretrained(tmp_path / "saved")
    inputs = {"images": [[noise(28, 60)], [noise(64, 30)]], "text": ["pick up the cube", "put"], "padding_side": "left"}
    torch.save(inputs, tmp_path / "in.pt")
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = (tmp_path / name for name in ("saved", "in.pt", "out"))
    child = in_fresh_python(["-c", WITHOUT_VLAHUB, *arguments], env=environment, cwd=tmp_path)
    assert child.returncode == 0, child.stderr[-3000:]
    found, actions = torch.load(tmp_path / "out")
    wanted = processor(**inputs)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    # Another process may sum in another order.
    torch.testing.assert_close(actions, model.eval().predict_action(**wanted), rtol=1e-5, atol=1e-6)
