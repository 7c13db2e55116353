"""How a VLM's prompt is written, and the tokenizer that its own processor is given for it."""

import re
from types import SimpleNamespace

import pytest
import torch
from tiny_vlms import tokenizer_with

from vlahub.errors import ConfigError
from vlahub.processing.chat_turns import Turn
from vlahub.processing.multimodal_vla.prompt_form import PromptForm
from vlahub.processing.multimodal_vla.prompt_tokenizer import PromptParts, PromptTokenizer, place_of

FORM = PromptForm("pick {images}\nup {instruction} now", "<image>", "[{image}]")
TEMPLATE = "{% for turn in messages %}({{ turn['role'] }}: {{ turn['content'] }}){% endfor %}"


def images(makes_prompts=False, makes_patches=False):
    return SimpleNamespace(makes_prompts=makes_prompts, makes_patches=makes_patches)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_with("<image>")


# The form


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_template": "{images}{images}"}, "'{images}' 2 times"),
        ({"prompt_template": "{instruction}"}, "'{images}' 0 times"),
        ({"image_token": None}, "'{images}' 1 times"),
        ({"image_token": "<other>"}, "no token image_token='<other>'"),
        ({"image_format": "[]"}, "must hold '{image}' once"),
        ({"image_format": "{image}{image}"}, "must hold '{image}' once"),
    ],
)
def test_a_form_that_does_not_fit_is_refused(changes, said, tokenizer):
    FORM.check(images(), tokenizer, 4)
    with pytest.raises(ConfigError, match=re.escape(said)):
        FORM._replace(**changes).check(images(), tokenizer, 4)


def test_what_the_image_processor_does_is_not_asked_of_the_form(tokenizer):
    """A VLM's processor replaces a text that need be no token, and tokens are counted where they follow from sizes."""
    FORM._replace(image_token="<other>").check(images(makes_prompts=True), tokenizer, None)
    FORM.check(images(makes_patches=True), tokenizer, None)
    with pytest.raises(ConfigError, match="image_seq_length"):
        FORM.check(images(), tokenizer, None)
    PromptForm("{instruction}", None, "").check(images(), tokenizer, None)


def test_each_view_has_its_tokens_in_its_format():
    assert FORM.pieces([2, 1]) == ["pick [<image><image>][<image>]\nup ", " now"]
    assert PromptForm("a {instruction} b {instruction}", None, "").pieces([2]) == ["a ", " b ", ""]


@pytest.mark.parametrize("text", ["", "[<image>]", "[<image><image>][<image>]", "[<image>]\n [<image>] "])
def test_any_number_of_image_tokens_and_views_is_found_and_nothing_else(text):
    assert re.fullmatch(FORM.image_pattern(), text)
    assert not re.fullmatch(FORM.image_pattern(), f"{text}a") and not re.fullmatch(FORM.image_pattern(), "[]")
    assert PromptForm("{instruction}", None, "[{image}]").image_pattern() == ""


def test_images_stand_in_the_last_turn_beside_the_instruction_alone(tokenizer):
    turns = [Turn("user", "a"), Turn("assistant", "b")]
    written = FORM.conversation_pieces(tokenizer, TEMPLATE, [2], turns)
    assert written == ["(user: ", ")(assistant: ", ")(user: [<image><image>]\nup ", ")"]
    plain = PromptForm("how to {instruction}?", None, "").conversation_pieces(tokenizer, TEMPLATE, [], turns)
    assert plain == ["(user: ", ")(assistant: ", ")(user: how to ", "?)"]


# The tokenizer


@pytest.fixture(scope="module")
def asked(tokenizer):
    """Of two samples, the first without special tokens."""
    parts = [
        PromptParts(["pick ", " up ", " now"], ["red", "green"], False),
        PromptParts(["put ", ""], ["the bowl"], True),
    ]
    tokenizer._tokenizer.post_processor = begins()
    return PromptTokenizer(tokenizer, parts, "left")


def begins():
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 1)])


def text(sample, *pieces):
    return place_of(sample).join(pieces)


def test_the_texts_of_each_sample_take_their_places(asked, tokenizer):
    def plain(words, **options):
        return tokenizer(words, **options)["input_ids"]

    assert asked.ids(text(0, "pick ", " up ", " right"), True) == plain(
        "pick red up green right", add_special_tokens=False
    )
    assert asked.ids(text(1, "put ", " in"), True) == plain("put the bowl in")
    assert asked.ids(text(1, "put ", " in"), False) == plain("put the bowl in", add_special_tokens=False)
    for add in (True, False):
        assert asked.ids("an image", add) == plain("an image", add_special_tokens=add)


def test_whole_prompts_are_padded_on_the_side_asked_for(asked, tokenizer):
    prompts = [text(0, "pick ", " up ", ""), text(1, "put ", " in to left right")]
    found = asked(prompts, return_tensors="pt")
    assert torch.is_tensor(found["input_ids"]) and found["input_ids"].shape == (2, 8)
    assert found["attention_mask"].tolist() == [[0] * 4 + [1] * 4, [1] * 8]
    alone = asked(prompts[1])
    assert alone["input_ids"] == [found["input_ids"][1].tolist()] and alone.char_to_token(0, 3) == 0
    assert asked.pad_token == tokenizer.pad_token
