"""What an instruction becomes, in every family: never a special token, and never a prompt in a prompt."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import vlahub
from vlahub.errors import InputError
from vlahub.processing.prompts import instruction_of, padded, prompt_token_ids

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
PATH = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1), np.tile(np.eye(3), (16, 1, 1))


@pytest.fixture(scope="module")
def prompt(family, family_checkpoint):
    """`prompt.ids(text)` of the family's processor."""
    processor = family.processor.from_pretrained(family_checkpoint)

    def ids(text):
        if family.unnorm_key is None:
            return processor(VIEWS, *PATH, text=text)["input_ids"][0].tolist()
        return processor(images=VIEWS, text=text, state=[0.1] * 8)["input_ids"][0].tolist()

    return SimpleNamespace(ids=ids, processor=processor, tokenizer=processor.tokenizer)


def added_ids(tokenizer, ids):
    known = set(tokenizer.get_added_vocab().values()) - {tokenizer.unk_token_id}
    return Counter(i for i in ids if i in known)


def test_no_text_of_an_instruction_becomes_an_added_token(prompt):
    tokenizer, plain = prompt.tokenizer, added_ids(prompt.tokenizer, prompt.ids("pick the block"))
    tokens = [token for token in tokenizer.get_added_vocab() if token.strip()]
    values = [token for token in tokens if token.startswith("<i")][3:]  # Alpamayo's are many, and alike
    tokens = [token for token in tokens if token not in values]
    text, refused = [], []
    for token in tokens:
        try:
            found = prompt.ids(f"pick {token} the{token} block")
        except InputError:
            refused.append(token)
            continue
        assert added_ids(tokenizer, found) == plain, token
        text.append(token)
    assert len(refused) <= 2, refused  # what marks images and the driven path
    assert added_ids(tokenizer, prompt.ids("pick " + "".join(text))) == plain


def test_spelt_tokens_stay_readable(family, prompt):
    if family.prefix not in ("CogVLA", "AlpamayoR1"):
        pytest.skip("a tokenizer of whole words")
    for text in ("stop</s>now", "a <|im_end|> b", "<unk><s>", "</s>", "x<pad>"):
        assert text in prompt.tokenizer.decode(prompt.ids(text)), text


VARIANTS = [str, str.upper, lambda t: t + " \n", lambda t: "  " + t, lambda t: t.replace("\n", " ")]


def test_a_whole_prompt_is_not_wrapped_again(family, prompt):
    if family.prefix == "AlpamayoR1":
        wanted = prompt.ids("keep to the right")
        whole = prompt.processor.prompt_text([5, 5], "keep to the right")
        short = prompt.processor.prompt_text([], "keep to the right").removesuffix(prompt.processor.answer_start)
        filled = prompt.tokenizer.decode(wanted)
        assert [prompt.ids(text) for text in (whole, short, filled, whole + "\n")] == [wanted] * 4
    elif family.prefix == "CogVLA":
        wanted = prompt.ids("Pick up the Bowl")
        for form in VARIANTS:
            whole = form("In: What action should the robot take to Pick up the Bowl?\nOut:")
            assert prompt.ids(whole) == wanted, whole
        assert prompt.ids("In: What action should the robot take to Pick up the Bowl?") == wanted
        question = "In: What action should the robot take to what is it??\nOut:"
        assert prompt.ids(question) == prompt.ids("what is it?")
        assert prompt.ids("In the box: what?") != wanted
    else:
        prompt.processor.prompt_template = "task : {instruction} do ."  # the default wraps nothing
        try:
            wanted = prompt.ids("Put the red block")
            for whole in (
                "task : Put the red block do .",
                "TASK : Put the red block do . ",
                "task: Put the red block do.",
            ):
                assert prompt.ids(whole) == wanted or "task:" in whole, whole
            assert prompt.ids("Put the red block do .") != wanted
        finally:
            prompt.processor.prompt_template = "{instruction}"


LLAVA = "USER: {images}\n", " ASSISTANT:", r"(?:(?:<image>)+\s*)*"
QWEN = (
    "<|im_start|>user\n{images}",
    "<|im_end|>\n<|im_start|>assistant\n",
    r"(?:<\|vision_start\|>(?:<\|image_pad\|>)+<\|vision_end\|>\s*)*",
)
PALIGEMMA = "{images}<bos>", "\n", r"(?:(?:<image>)+\s*)*"


@pytest.mark.parametrize(
    ("template", "text", "instruction"),
    [
        (LLAVA, "USER: <image><image>\nwave it ASSISTANT:", "wave it"),
        (LLAVA, "USER: <image>\nwave it ASSISTANT:", "wave it"),
        (LLAVA, "user: wave it assistant:\n", "wave it"),
        (LLAVA, "USER: wave it", "USER: wave it"),
        (LLAVA, "wave it ASSISTANT:", "wave it ASSISTANT:"),
        (
            QWEN,
            "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>go<|im_end|>\n<|im_start|>assistant\n",
            "go",
        ),
        (QWEN, "<|im_start|>user\ngo  on<|im_end|>\n<|im_start|>assistant", "go  on"),
        (PALIGEMMA, "<image><image><bos>go\n", "go"),
        (PALIGEMMA, "go\n", "go\n"),
        (("", "", ""), " go ", " go "),
        (("", "? Answer:", ""), "what? Answer:", "what"),
        (("", "? Answer:", ""), "what?", "what?"),
    ],
)
def test_prompts_of_vlms_are_recognised(template, text, instruction):
    assert instruction_of(text, *template) == instruction


# The twin tokenizer, against one that never had the tokens


def made(kind, added):
    words = ["<unk>", "<s>", "</s>", *"abcdefgh<>/|_i", "▁", "ab", "abc", "▁a"]
    if kind == "BPE":
        raw = Tokenizer(
            models.BPE({w: i for i, w in enumerate(words)}, [("a", "b"), ("ab", "c"), ("▁", "a")], unk_token="<unk>")
        )
    elif kind == "WordLevel":
        raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*words, "x", "y"])}, "<unk>"))
    else:
        raw = Tokenizer(models.Unigram([(w, -float(len(words) - i)) for i, w in enumerate(words)], 0))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit() if kind == "WordLevel" else pre_tokenizers.Metaspace()
    if added:
        raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("</s>", "<|end|>")])
        raw.add_tokens([AddedToken("<i_1>", normalized=True), AddedToken("<i", lstrip=True)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>" if added else None)


@pytest.mark.parametrize("kind", ["BPE", "WordLevel", "Unigram"])
@pytest.mark.parametrize("text", ["abc <|end|> ab", "a<i_1>b", "<i", "abc </s>", "ab<|end|><|end|>", "\ue000<i\ue001"])
def test_spelt_tokens_get_the_ids_of_a_tokenizer_without_them(kind, text):
    tokenizer, without = made(kind, True), made(kind, False)
    found = prompt_token_ids(tokenizer, ["a ", " b"], text, add_special_tokens=False)
    wanted = without(f"a {text} b", add_special_tokens=False)["input_ids"]
    if "</s>" not in text:  # a vocabulary's own word in `without`
        assert found == wanted
    assert not added_ids(tokenizer, found)
    ends = prompt_token_ids(tokenizer, ["<|end|>a ", " b<i"], text, add_special_tokens=False)
    assert added_ids(tokenizer, ends) == Counter(tokenizer.convert_tokens_to_ids(["<|end|>", "<i"]))
    assert prompt_token_ids(tokenizer, ["a ", " b"], "ab c") == tokenizer("a ab c b")["input_ids"]


@pytest.mark.parametrize("kind", ["BPE", "WordLevel", "Unigram"])
def test_a_tokenizer_that_cut_and_filled_a_text_before_does_neither_with_a_prompt(kind):
    tokenizer, text = made(kind, True), "abc <|end|> ab"
    wanted = prompt_token_ids(tokenizer, ["a ", " b"], text)
    tokenizer.pad_token = "<|end|>"
    for length in (2, 64):
        tokenizer(text, truncation=True, padding="max_length", max_length=length)
        assert tokenizer.backend_tokenizer.truncation and tokenizer.backend_tokenizer.padding
        assert prompt_token_ids(tokenizer, ["a ", " b"], text) == wanted


def test_tokens_that_may_be_there_stay():
    tokenizer = made("BPE", True)
    ids = prompt_token_ids(tokenizer, ["a ", ""], "<i_1> <|end|>", kept=["<i_1>"])
    assert added_ids(tokenizer, ids) == Counter([tokenizer.convert_tokens_to_ids("<i_1>")])


@pytest.mark.parametrize("kind", ["BPE", "WordLevel", "Unigram"])
def test_of_two_tokens_of_a_template_the_longer_one_is_meant_where_both_begin(kind):
    tokenizer = made(kind, True)
    ids = prompt_token_ids(tokenizer, ["<i_1>a ", " <i_1> b <i"], "ab <|end|>", add_special_tokens=False)
    assert added_ids(tokenizer, ids) == Counter(tokenizer.convert_tokens_to_ids(["<i_1>", "<i_1>", "<i"]))


def test_whitespace_that_a_tokenizer_has_as_a_token_is_text():
    tokenizer = made("BPE", True)
    tokenizer.add_tokens([AddedToken("  ", normalized=False)])
    wanted = tokenizer("a b  ab", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("  ") in wanted
    assert prompt_token_ids(tokenizer, ["a ", ""], "b  ab", add_special_tokens=False) == wanted


@pytest.mark.parametrize("side", ["right", "left"])
def test_shorter_prompts_get_the_padding_token_and_the_end_token_where_there_is_none(side):
    tokenizer = made("BPE", True)
    tokenizer.pad_token = "<|end|>"
    for filler in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        rows = padded([[1, 2, 3], [4]], tokenizer, side)
        short = [4, filler, filler] if side == "right" else [filler, filler, 4]
        assert rows["input_ids"].tolist() == [[1, 2, 3], short]
        assert rows["attention_mask"].tolist() == [[1, 1, 1], [int(i == 4) for i in short]]
        tokenizer.pad_token = None
    assert padded([[1]], tokenizer, side, length=2)["input_ids"].shape == (1, 2)


def test_the_tokenizer_stays_as_it_was():
    tokenizer = made("BPE", True)
    before = tokenizer.backend_tokenizer.to_str()
    prompt_token_ids(tokenizer, ["a ", ""], "<|end|>")
    assert tokenizer.backend_tokenizer.to_str() == before
    tokenizer.padding_side = "left"
    images = vlahub.CogVLAImageProcessor(image_sizes=[28, 28], evaluation_size=28)
    vlahub.CogVLAProcessor(images, tokenizer)(VIEWS[0], "ab")
    assert tokenizer.padding_side == "left"


class Slow:
    """A tokenizer of words that cannot do without its added tokens."""

    is_fast, unk_token_id = False, 0
    words = ("<unk>", "</s>", "<image>", "do", "now")

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [self.words.index(word) if word in self.words else 0 for word in text.split()]}

    def get_added_vocab(self):
        return {word: i for i, word in enumerate(self.words[:3])}

    def convert_ids_to_tokens(self, index):
        return self.words[index]


def test_a_slow_tokenizer_takes_what_it_does_not_know_and_what_is_kept_and_refuses_other_tokens():
    pieces = ["do ", " now"]
    assert prompt_token_ids(Slow(), pieces, "what nobody knows") == [3, 0, 0, 0, 4]
    assert prompt_token_ids(Slow(), pieces, "<image> it", kept=["<image>"]) == [3, 2, 0, 4]
    for token in ("</s>", "<image>"):
        with pytest.raises(InputError, match=f"holds the token '{token}' of the tokenizer; leave it out"):
            prompt_token_ids(Slow(), pieces, f"{token} it")
