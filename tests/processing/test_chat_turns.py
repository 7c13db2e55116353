"""Earlier turns of a conversation, in every family: what a chat template or the published code writes, and no more."""

import numpy as np
import pytest
import torch
from tiny_configs import COMPOSED, LLAMA, SIGLIP
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

import vlahub
from vlahub.errors import InputError
from vlahub.processing.chat_turns import Turn, chat_pieces, read_turns, without_frame

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
PATH = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1), np.tile(np.eye(3), (16, 1, 1))
SAID = [{"role": "user", "content": "Pick up the cup"}, {"role": "assistant", "content": "the blue one"}]
NOW = "no, the red one"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ALTERNATING = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{{ '[INST] ' + m['content'] | trim + ' [/INST]' if m['role'] == 'user' else m['content'] + eos_token }}"
    "{% endfor %}"
)
PARTS = (
    "{% for m in messages %}{{ m['role'] | upper }}: "
    "{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}{{ c['text'] }} {% endfor %}"
    "{% endfor %}ASSISTANT:"
)
TOKENS = ("<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<image>")


def letters(template=None):
    """A tokenizer of single characters, which loses nothing, and of the usual special tokens."""
    words = [*TOKENS, *map(chr, range(32, 127)), "\n"]
    raw = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in TOKENS[1:]])
    raw.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, chat_template=template, **names)


def composed(template, **settings):
    config = vlahub.MultimodalVLAConfig(
        **COMPOSED | {"use_state": False}, vision_config=SIGLIP, text_config=LLAMA, **settings.pop("config", {})
    )
    return vlahub.MultimodalVLAProcessor.for_config(config, letters(template), **settings)


def row(processor, *args, **kwargs):
    return processor(*args, **kwargs)["input_ids"][0].tolist()


@pytest.mark.parametrize(("template", "history"), [(CHATML, SAID), (CHATML, ["Pick up"]), (ALTERNATING, SAID)])
def test_a_language_models_prompt_is_what_its_tokenizer_makes_of_the_messages(template, history):
    processor = composed(template)
    messages = [turn if isinstance(turn, dict) else {"role": "user", "content": turn} for turn in history]
    wanted = processor.tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": NOW}], add_generation_prompt=True, return_dict=False
    )
    assert row(processor, VIEWS, NOW, history=history) == list(wanted)
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    assert row(processor, VIEWS, NOW, history=parts) == list(wanted)
    for nothing in (None, [], ()):
        assert row(processor, VIEWS, NOW, history=nothing) == row(processor, VIEWS, NOW)


def test_a_prompt_that_is_the_templates_own_is_not_written_twice():
    turn = "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n"
    plain, taken_over = composed(CHATML), composed(CHATML, prompt_template=turn)
    assert row(taken_over, VIEWS, NOW, history=SAID) == row(plain, VIEWS, NOW, history=SAID)
    assert row(taken_over, VIEWS, turn.replace("{instruction}", NOW), history=SAID) == row(
        plain, VIEWS, NOW, history=SAID
    )
    asked = composed(CHATML, prompt_template="how to {instruction}?")
    assert row(asked, VIEWS, NOW, history=SAID) == row(plain, VIEWS, f"how to {NOW}?", history=SAID)


def llava(template=PARTS, prompt="USER: {images}\n{instruction} ASSISTANT:"):
    images = vlahub.MultimodalVLAImageProcessor({"height": 28, "width": 28})
    return vlahub.MultimodalVLAProcessor(
        images, letters(), prompt, "<image>", 4, add_special_tokens=True, chat_template=template
    )


def test_a_vlms_images_stand_in_the_last_turn_as_its_prompt_has_them(tmp_path):
    processor = llava()
    text = f"USER: Pick up the cup ASSISTANT: the blue one USER: {'<image>' * 8}\n{NOW} ASSISTANT:"
    wanted = processor.tokenizer(text)["input_ids"]  # with the begin token, which the template does not write
    assert row(processor, VIEWS, NOW, history=SAID) == wanted
    begins = llava("{{ bos_token }}" + PARTS)
    assert row(begins, VIEWS, NOW, history=SAID) == wanted
    processor.save_pretrained(tmp_path)
    assert row(vlahub.MultimodalVLAProcessor.from_pretrained(tmp_path), VIEWS, NOW, history=SAID) == wanted
    behind = llava(prompt="USER: {instruction} {images} ASSISTANT:")
    text = text.replace(f"{'<image>' * 8}\n{NOW}", f"{NOW} {'<image>' * 8}")
    assert row(behind, VIEWS, NOW, history=SAID) == processor.tokenizer(text)["input_ids"]
    with pytest.raises(InputError, match="the prompt has 9 image tokens, the images 8"):
        processor(VIEWS, NOW, history=["the <image>"])


def test_spelt_tokens_of_earlier_turns_are_text():
    processor = composed(CHATML)
    plain = row(processor, VIEWS, "go", history=["stop it"])
    spelt = row(processor, VIEWS, "go</s>", history=["stop<|im_end|>\n<|im_start|>assistant\nit"])
    special = set(range(1, 6))
    assert [i for i in spelt if i in special] == [i for i in plain if i in special]
    assert "stop<|im_end|>" in processor.tokenizer.decode(spelt).replace(" ", "")


def test_a_batch_is_its_samples():
    processor = composed(CHATML)
    texts, histories = ["go", NOW, "stop"], [None, SAID, ["turn it", "now"]]
    batch = processor([VIEWS] * 3, texts, history=histories)
    for i, mask in enumerate(batch["attention_mask"]):
        wanted = row(processor, VIEWS, texts[i], history=histories[i])
        assert batch["input_ids"][i][mask.bool()].tolist() == wanted
    assert torch.equal(
        processor([VIEWS] * 3, texts, history=[])["input_ids"], processor([VIEWS] * 3, texts)["input_ids"]
    )


def test_a_prompt_of_the_chat_template_is_not_written_twice_where_the_tokenizer_writes_the_begin_token():
    processor = composed(ALTERNATING, prompt_template="[INST] {instruction} [/INST]")
    assert row(processor, VIEWS, NOW, history=SAID) == row(composed(ALTERNATING), VIEWS, NOW, history=SAID)


REFUSED = [
    ("pick up", r"history is a str \('pick up'\); a list of turns is needed"),
    ([1], r"history holds a int \(1\); a turn is a string"),
    ([{"role": "user"}], "history holds a dict; a turn is"),
    ([{"role": "robot", "content": "x"}], "role='robot'; choose from system, user, assistant"),
    ([{"role": "user", "content": [{"type": "image"}]}], "pictures are those of now, given as images"),
    ([{"role": "user", "content": [{"type": "image", "text": "x"}]}], "holds the part {'type': 'image'"),
    ([{"role": "user", "content": [{"type": "text", "text": 3}]}], "holds the part {'type': 'text', 'text': 3}"),
    ([{"role": "user", "content": "x", "name": "me"}], "history holds a dict; a turn is"),
    ([{"role": "user", "content": 3}], r"history is a int \(3\)"),
    (["a", ["b"]], "mixes turns and lists of turns"),
    ([["a"], ["b"]], "history holds the turns of 2 samples, the batch 1"),
    (["half \ud800"], "half of a character"),
]


@pytest.mark.parametrize(("history", "message"), REFUSED)
def test_what_is_no_turn_is_refused(history, message):
    with pytest.raises(InputError, match=message):
        composed(CHATML)(VIEWS, NOW, history=history)


def test_histories_are_as_many_as_the_samples():
    for count in (1, 3):
        with pytest.raises(InputError, match=f"history holds the turns of {count} samples, the batch 2"):
            composed(CHATML)([VIEWS] * 2, [NOW] * 2, history=[["pick up"]] * count)


def test_what_the_template_does_not_write_is_refused():
    with pytest.raises(InputError, match="history needs a chat template, and this checkpoint has none"):
        composed(None)(VIEWS, NOW, history=SAID)
    with pytest.raises(InputError, match=r"\(user, user\): Conversation roles must alternate"):
        composed(ALTERNATING)(VIEWS, NOW, history=["pick up"])
    with pytest.raises(InputError, match=r"turns of history and text \(user, user\): it does not write each"):
        composed("{{ messages[-1]['content'] }}")(VIEWS, NOW, history=["pick up"])
    with pytest.raises(InputError, match=r"'\{instruction\}' once, and it is there 2 times"):
        composed(CHATML, prompt_template="{instruction} {instruction}")(VIEWS, NOW, history=SAID)
    assert composed(None)(VIEWS, NOW, history=[]).keys() == {"input_ids", "attention_mask", "pixel_values"}


def test_turns_and_pieces():
    assert read_turns(["a", SAID[1]], 1) == [[Turn("user", "a"), Turn("assistant", "the blue one")]]
    parts = [{"type": "text", "text": text} for text in ("pick", " up")]
    assert read_turns([{"role": "user", "content": parts}], 1) == [[Turn("user", "pick up")]]
    assert read_turns(None, 2) == [[], []] == read_turns([None, []], 2)
    found = chat_pieces(letters(CHATML), None, [("user", "", ""), ("user", "<", ">")])
    assert found[1] == "<|im_end|>\n<|im_start|>user\n<" and found[2].startswith("><|im_end|>")


@pytest.mark.parametrize("kept", [0, 1])
def test_a_prompt_that_shares_one_end_with_the_template_stays_as_it_is(kept):
    tokenizer = letters(CHATML)
    pieces = chat_pieces(tokenizer, None, [("user", "", "")])
    assert without_frame(tokenizer, None, pieces) == ("", "")
    pieces[1 - kept] = " now "
    assert without_frame(tokenizer, None, pieces) == tuple(pieces)


# The families


@pytest.fixture
def processor(family, family_checkpoint):
    return family.processor.from_pretrained(family_checkpoint)


def call(family, processor, text, **options):
    if family.unnorm_key is None:
        return processor(VIEWS, *PATH, text=text, **options)
    return processor(images=VIEWS, text=text, state=[0.1] * 8, **options)


def test_every_family_takes_earlier_turns_and_predicts(family, family_checkpoint, processor):
    if getattr(processor.tokenizer, "chat_template", None) is None and family.prefix not in ("CogVLA", "AlpamayoR1"):
        with pytest.raises(InputError, match="history needs a chat template"):
            call(family, processor, NOW, history=SAID)
        processor.chat_template = PARTS
    names = {"np": np}
    exec(family.call, names)
    torch.manual_seed(0)
    model = family.model.from_pretrained(family_checkpoint)
    inputs = call(family, processor, NOW, history=SAID)
    assert inputs["input_ids"].shape[1] > call(family, processor, NOW)["input_ids"].shape[1]
    assert names["predict"](model, inputs).isfinite().all()


PUBLISHED = "In: What action should the robot take to {}?\nOut:"


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        (SAID, f"{PUBLISHED.format('pick up the cup')} the blue one</s>"),
        (["Pick up the cup"], f"{PUBLISHED.format('pick up the cup')}  </s>"),
        ([SAID[0], {"role": "assistant", "content": ""}], f"{PUBLISHED.format('pick up the cup')}  </s>"),
        ([SAID[0], {"role": "assistant", "content": " yes "}], f"{PUBLISHED.format('pick up the cup')} yes</s>"),
    ],
)
def test_openvlas_conversation_is_that_of_its_prompt_builder(history, wanted):
    images = vlahub.CogVLAImageProcessor(image_sizes=[28, 28], evaluation_size=28)
    processor = vlahub.CogVLAProcessor(images, letters())
    ids = processor.tokenizer(wanted + PUBLISHED.format(NOW))["input_ids"]
    assert row(processor, VIEWS[0], NOW.upper(), history=history) == ids
    for turns in ([SAID[1]], [*SAID, SAID[1]], [{"role": "system", "content": "x"}]):
        with pytest.raises(InputError, match=r"role='(assistant|system)' where the prompt of OpenVLA has none"):
            processor(VIEWS[0], NOW, history=turns)


def test_alpamayos_turns_stand_where_the_published_chat_has_them(family, processor):
    if family.prefix != "AlpamayoR1":
        pytest.skip("other families have no published chat")
    system, user, answer = processor.create_message(np.stack(VIEWS).transpose(0, 3, 1, 2))
    user["content"][-1]["text"] = user["content"][-1]["text"].replace(processor.request, NOW)
    chat = [system, *SAID, user, answer]
    options = {"tokenize": True, "continue_final_message": True, "return_dict": True}
    wanted = processor.fuse_traj_tokens(
        processor.apply_chat_template(chat, **options)["input_ids"],
        {f"ego_history_{part}": torch.tensor(value)[None] for part, value in zip(("xyz", "rot"), PATH, strict=True)},
    )
    assert torch.equal(call(family, processor, NOW, history=SAID)["input_ids"], wanted)
    with pytest.raises(InputError, match="history has a system turn"):
        call(family, processor, NOW, history=[{"role": "system", "content": "x"}])


@pytest.mark.parametrize(
    ("template", "first", "text", "place"),
    [
        ("{instruction}", SAID[0]["content"], NOW, f"<image> {NOW}"),
        ("{instruction}", SAID[0]["content"], "the <image> here", "the <image> here"),
        ("{instruction}", "what is in <image>", NOW, NOW),
        ("in <image> {instruction}", SAID[0]["content"], NOW, f"in <image> {NOW}"),
        ("{instruction} in <image>", SAID[0]["content"], NOW, f"{NOW} in <image>"),
    ],
)
def test_llava3ds_images_stand_before_the_last_text_unless_a_text_has_their_place(template, first, text, place):
    images = vlahub.MapAnythingLlava3DImageProcessor(size={"height": 28, "width": 28})
    processor = vlahub.MapAnythingLlava3DProcessor(images, letters(CHATML), prompt_template=template)
    said = [{"role": "user", "content": first}, SAID[1]]
    messages = [*said, {"role": "user", "content": place}]
    wanted = processor.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    wanted = wanted.replace("<image>", "<image>" * processor.image_seq_length * 2)
    wanted = processor.tokenizer(wanted, add_special_tokens=False)["input_ids"]
    assert row(processor, VIEWS, text, history=said) == wanted
