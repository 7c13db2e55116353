"""What a VLM's own processor is given where there is the VLM's tokenizer alone: as its config says and as published."""

from types import SimpleNamespace

import pytest

from vlahub.processing.multimodal_vla.vlm_defaults import OWN_PROCESSORS, image_token_id_of, own_processor_row, square

# A number of its own for each field, so that none is taken for another.
TOWER = {
    "model_type": "clip_vision_model",
    "image_size": 84,
    "patch_size": 14,
    "temporal_patch_size": 3,
    "spatial_merge_size": 4,
    "pixel_shuffle_ratio": 0.25,
    "max_num_tiles": 5,
}
FIELDS = {
    "scale_factor": 3,
    "spatial_merge_size": 2,
    "downsample_factor": 3,
    "downsample_mode": "8x",
    "mm_tokens_per_image": 7,
    "image_seq_length": 11,
    "vision_feature_select_strategy": "some",
    "vision_aspect_ratio": "anyres_max_4",
    "image_grid_pinpoints": [[84, 168]],
}
SQUARE = {"height": 84, "width": 84}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
PINPOINTS = {"image_grid_pinpoints": [[84, 168]]}
CUT = {"size": {"shortest_edge": 84}, "crop_size": SQUARE}
TILES = {"size": {"longest_edge": 336}, "max_image_size": {"longest_edge": 84}}
PIXTRAL = (
    {"patch_size": 14, "spatial_merge_size": 2},
    {"patch_size": {"height": 14, "width": 14}, "size": {"longest_edge": 84}},
)
# Of each model type: arguments of the processor, and of the image processor.
SETTINGS = {
    "aya_vision": ({"patch_size": 14, "img_size": 84, "downsample_factor": 3}, {"size": SQUARE, **HALF}),
    "cohere2_vision": ({}, {"size": SQUARE, "patch_size": 2}),
    "deepseek_vl": ({"num_image_tokens": 36}, {"size": SQUARE, **CLIP}),
    "gemma3": ({"image_seq_length": 7}, {"size": SQUARE}),
    "glm4v": ({}, {"patch_size": 14, "temporal_patch_size": 3, "merge_size": 4}),
    "idefics3": ({"image_seq_len": 4}, TILES),
    "internvl": ({"image_seq_length": 11}, {"size": SQUARE, **IMAGENET}),
    "janus": ({"num_image_tokens": 36}, {"size": SQUARE, **HALF}),
    "llama4": ({"patch_size": 14, "pixel_shuffle_ratio": 0.25}, {"size": SQUARE, **HALF}),
    "llava_next": (
        {"patch_size": 14, "vision_feature_select_strategy": "some", "num_additional_image_tokens": 1},
        {**CUT, **PINPOINTS},
    ),
    "llava_onevision": (
        {"num_image_tokens": 36, "vision_feature_select_strategy": "some", "vision_aspect_ratio": "anyres_max_4"},
        {"size": SQUARE, **PINPOINTS, **HALF},
    ),
    "minicpmv4_6": ({}, {"patch_size": 14, "downsample_mode": "8x"}),
    "mistral3": PIXTRAL,
    "mllama": ({}, {"size": SQUARE, "max_image_tiles": 5, **CLIP}),
    "smolvlm": ({"image_seq_len": 4}, TILES),
    "vipllava": (
        {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        CUT,
    ),
}
# A prompt with the instruction "go" and one view, as model cards and chat templates have it, `I` being the image token.
LLAMA = "<|begin_of_text|>{first}user{last}\n\nIgo{end}{first}assistant{last}\n\n"
COHERE = "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Igo<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
CHATML = "<|im_start|>user\n{}go<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = {
    "aya_vision": COHERE,
    "cohere2_vision": COHERE,
    "deepseek_vl": "User: Igo\n\nAssistant:",
    "gemma3": "<start_of_turn>user\nIgo<end_of_turn>\n<start_of_turn>model\n",
    "glm4v": "[gMASK]<sop><|user|>\n<|begin_of_image|>I<|end_of_image|>go<|assistant|>\n",
    "idefics3": "User:Igo<end_of_utterance>\nAssistant:",
    "internvl": CHATML.format("I\n"),
    "janus": "<|User|>: I\ngo\n\n<|Assistant|>:",
    "llama4": LLAMA.format(first="<|header_start|>", last="<|header_end|>", end="<|eot|>"),
    "llava_next": "[INST] I\ngo [/INST]",
    "llava_onevision": "<|im_start|>user I\ngo<|im_end|><|im_start|>assistant\n",
    "minicpmv4_6": CHATML.format("I\n"),
    "mistral3": "[INST]Igo[/INST]",
    "mllama": LLAMA.format(first="<|start_header_id|>", last="<|end_header_id|>", end="<|eot_id|>"),
    "smolvlm": "<|im_start|>User:Igo<end_of_utterance>\nAssistant:",
    "vipllava": (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions.###Human: I\ngo###Assistant:"
    ),
}
PLACEHOLDERS = {"gemma3": "boi_token", "llama4": "fake_image_token"}


def vlm(model_type="vlm", tower=None, **fields):
    kind = type("Config", (SimpleNamespace,), {"model_type": model_type})
    return kind(vision_config=SimpleNamespace(**{**TOWER, **(tower or {})}), **{**FIELDS, **fields})


@pytest.mark.parametrize("kind", OWN_PROCESSORS)
def test_a_vlms_processor_is_made_as_its_config_says(kind):
    row = own_processor_row(vlm(kind))
    assert row is OWN_PROCESSORS[kind]
    assert (row.settings(vlm(kind)), row.image_settings(vlm(kind))) == SETTINGS[kind]


@pytest.mark.parametrize("kind", OWN_PROCESSORS)
def test_a_vlms_prompt_is_the_published_one(kind):
    row = OWN_PROCESSORS[kind]
    view = row.image_format.replace("{image}", "I")
    assert row.prompt_template.replace("{images}", view).replace("{instruction}", "go") == PROMPTS[kind]
    assert row.placeholder == PLACEHOLDERS.get(kind, "image_token")


def test_a_tower_without_a_class_token_adds_none():
    row, config = OWN_PROCESSORS["llava_next"], vlm(tower={"model_type": "siglip_vision_model"})
    assert row.settings(config)["num_additional_image_tokens"] == 0


def test_the_published_number_of_januss_tokens_is_its_own_default():
    config = vlm(tower={"image_size": 336})
    assert OWN_PROCESSORS["janus"].settings(config) == {}
    assert OWN_PROCESSORS["deepseek_vl"].settings(config) == {"num_image_tokens": 576}


def test_whatever_sees_with_pixtral_is_prepared_as_pixtral():
    config = vlm("llava", tower={"model_type": "pixtral"})
    del config.spatial_merge_size
    row = own_processor_row(config)
    assert row is OWN_PROCESSORS["mistral3"] and row.settings(config) == {"patch_size": 14, "spatial_merge_size": 1}
    assert own_processor_row(vlm("llava")) is None


def test_pictures_have_a_height_and_then_a_width():
    assert square([56, 84]) == {"height": 56, "width": 84}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({"image_token_id": 0, "image_token_index": 5}, 0),
        ({"image_token_id": None, "image_token_index": 5}, 5),
        ({"image_token_index": 0}, 0),
        ({}, None),
    ],
)
def test_an_image_token_goes_by_either_of_its_names(names, wanted):
    assert image_token_id_of(SimpleNamespace(**names)) == wanted
