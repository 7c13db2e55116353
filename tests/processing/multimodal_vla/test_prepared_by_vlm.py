"""Who prepares a VLM's prompts and images, with what settings, and whose prompt it is."""

from types import SimpleNamespace

import pytest
from tiny_vlms import tiny_vlm
from transformers import AutoConfig

from vlahub.errors import ConfigError
from vlahub.processing.multimodal_vla.prepared_by_vlm import default_prompt, default_template, prepared_by_vlm

TEXT = "{{ part['text'] }}{% endif %}{% endfor %}"
PICTURES = "{% for turn in messages %}START{% for part in turn['content'] %}{% if part['type'] == 'image' %}<image>"
WITH_IMAGES = PICTURES + "{% else %}" + TEXT + "END{% endfor %}"
OF_TEXT = "{% for turn in messages %}{{ turn['content'] + 'END' }}{% endfor %}"
DOCUMENTED = {"prompt_template": "[INST] {images}{instruction} [/INST]", "image_format": "{image}\n"}


@pytest.fixture
def vlm():
    """A LLaVA-NeXT and its own processor."""
    fields, own = tiny_vlm("llava_next")
    return SimpleNamespace(vlm_config=AutoConfig.for_model(**fields)), own


def of_kind(kind):
    return SimpleNamespace(vlm_config=type("Config", (SimpleNamespace,), {"model_type": kind})())


def test_this_package_prepares_where_nobody_else_can(vlm):
    config, own = vlm
    assert prepared_by_vlm(SimpleNamespace(vlm_config=None), own, {}) == {}
    assert prepared_by_vlm(of_kind("blip-2"), own, {}) == {}  # its processor knows one picture
    assert prepared_by_vlm(of_kind("llava"), own.tokenizer, {}) == {}
    overrides = {"image_seq_length": 4, "num_views": 2}
    assert prepared_by_vlm(config, own.tokenizer, overrides) == {} and overrides["num_views"] == 2


@pytest.mark.parametrize("is_whole", [True, False])
def test_arguments_of_the_image_processor_are_taken_out_and_win(vlm, is_whole):
    config, own = vlm
    overrides = {"image_settings": {"do_normalize": False}, "num_views": 2, "prompt_template": "{images}{instruction}"}
    found = prepared_by_vlm(config, own if is_whole else own.tokenizer, overrides)
    images = found["image_processor"]
    assert overrides == {"prompt_template": "{images}{instruction}"} and images.num_views == 2
    assert images.image_settings["do_normalize"] is False and images.image_settings["size"] == {"shortest_edge": 28}
    assert images.vlm_processor_class == "LlavaNextProcessor" and found["image_token"] == "<image>"
    assert found["image_format"] == "{image}\n"


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_prompt_is_that_of_a_template_which_writes_images_and_else_the_documented_one(vlm, is_whole):
    config, own = vlm
    owner = own if is_whole else own.tokenizer
    assert prepared_by_vlm(config, owner, {}).items() >= DOCUMENTED.items()
    own.tokenizer.chat_template = WITH_IMAGES
    found = prepared_by_vlm(config, owner, {})
    assert (found["prompt_template"], found["image_format"]) == ("START{images}{instruction}END", "{image}")
    assert found["chat_template"] == WITH_IMAGES and found["add_special_tokens"]
    given = {"prompt_template": "a {images}{instruction}", "image_format": "<{image}>"}
    assert "prompt_template" not in prepared_by_vlm(config, owner, dict(given))
    begins = {**given, "prompt_template": "<bos>{images}{instruction}"}
    assert not prepared_by_vlm(config, owner, begins)["add_special_tokens"]
    own.tokenizer.chat_template = OF_TEXT
    found = prepared_by_vlm(config, owner, {})
    assert found.items() >= DOCUMENTED.items() and "chat_template" not in found


def test_the_template_of_a_processor_comes_first_and_has_to_write_images(vlm):
    config, own = vlm
    own.tokenizer.chat_template, own.chat_template = OF_TEXT, WITH_IMAGES
    assert prepared_by_vlm(config, own, {})["chat_template"] == WITH_IMAGES
    own.tokenizer.chat_template, own.chat_template = WITH_IMAGES, OF_TEXT
    with pytest.raises(ConfigError, match="give prompt_template"):
        prepared_by_vlm(config, own, {})


def test_of_several_templates_the_default_is_taken():
    assert default_template({"default": "a", "tools": "b"}) == default_template("a") == "a"
    assert default_template({"tools": "b"}) is default_template(None) is None


def test_a_tokenizer_of_another_vlm_is_refused(vlm):
    config, own = vlm
    config.vlm_config.image_token_id = config.vlm_config.image_token_index = 3
    with pytest.raises(ConfigError, match=r"'<image>' at \d+, vlm_config.image_token_id is 3; is it the VLM's"):
        prepared_by_vlm(config, own.tokenizer, {})


@pytest.mark.parametrize(
    ("kind", "template", "image_format"),
    [
        ("paligemma", "{images}{instruction}", "{image}"),
        ("llava", "USER: {images}\n{instruction} ASSISTANT:", "{image}"),
        (
            "qwen2_vl",
            "<|im_start|>user\n{images}{instruction}<|im_end|>\n<|im_start|>assistant\n",
            "<|vision_start|>{image}<|vision_end|>",
        ),
    ],
)
def test_a_vlm_without_a_row_has_the_prompt_of_its_model_card(kind, template, image_format):
    found = default_prompt(of_kind(kind).vlm_config, None)
    assert found == {"prompt_template": template, "image_format": image_format}
    with pytest.raises(ConfigError, match=r"'tea' has no default prompt and no chat template; give prompt_template"):
        default_prompt(of_kind("tea").vlm_config, None)
