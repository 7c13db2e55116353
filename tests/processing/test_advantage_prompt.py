"""A word of advantage in the prompts of every family, and embodiments beside them."""

import numpy as np
import pytest
import torch

import vlahub
import vlahub.data
from vlahub.errors import ConfigError, InputError
from vlahub.processing.advantage_prompt import advantages_of, checked_template, with_advantage

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
PATH = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1), np.tile(np.eye(3), (16, 1, 1))


@pytest.fixture(scope="module")
def call(family, family_checkpoint):
    """`call(texts, processor=None, **options)` -> token ids of each sample, without padding."""
    loaded = family.processor.from_pretrained(family_checkpoint)

    def ids(texts, processor=None, **options):
        processor = processor or loaded
        count = len(texts)
        if family.unnorm_key is None:
            paths = (np.repeat(part[None], count, axis=0) for part in PATH)
            batch = processor([VIEWS] * count, *paths, text=texts, **options)
        else:
            batch = processor(images=[VIEWS] * count, text=texts, state=[[0.1] * 8] * count, **options)
        return [
            row[real.bool()].tolist() for row, real in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]

    ids.processor = loaded
    return ids


def test_the_word_stands_behind_the_instruction_as_text(family, call):
    text = "pick the block"
    plain, good = call([text, text], advantage=[None, "positive"])
    assert [plain] == call([text]) == call([text], advantage=None)
    assert good != plain and call([text, text], advantage="positive") == [good, good]
    if family.prefix == "CogVLA":  # which lowers instructions
        wanted = "In: What action should the robot take to pick the block\nAdvantage: positive?\nOut:"
        assert wanted in call.processor.tokenizer.decode(good)
    else:
        assert call([f"{text}\nAdvantage: positive"]) == [good]
    added = {i for token, i in call.processor.tokenizer.get_added_vocab().items() if token.strip()}
    added -= {call.processor.tokenizer.unk_token_id}
    (spelt,) = call([text], advantage="</s> <|im_end|>")
    assert [i for i in spelt if i in added] == [i for i in plain if i in added]


def test_a_template_of_ones_own_is_saved(family, call, family_checkpoint, tmp_path):
    processor = family.processor.from_pretrained(family_checkpoint)
    processor.advantage_template = "{advantage} quality : {instruction}"
    processor.save_pretrained(tmp_path)
    again = family.processor.from_pretrained(tmp_path)
    assert again.advantage_template == "{advantage} quality : {instruction}"
    found = call(["pick the block"], again, advantage="best")
    assert found == call(["best quality : pick the block"]) != call(["pick the block"])
    assert call(["pick the block"], again) == call(["pick the block"])


def test_what_is_no_word_is_refused(family, call, family_checkpoint):
    for advantage, message in (
        ("", "advantage is an empty text"),
        (["positive"], "advantage has 1 entries, the batch 2 samples"),
        (0.7, "advantage is a float; a word"),
        ([0.7, None], r"advantage is a float \(0\.7\)"),
    ):
        with pytest.raises(InputError, match=message):
            call(["go", "go"], advantage=advantage)
    with pytest.raises(ConfigError, match=r"advantage_template='better' has no '\{instruction\}' in it"):
        family.processor.from_pretrained(family_checkpoint, advantage_template="better")


@pytest.mark.parametrize("place", ["instruction", "advantage"])
def test_a_template_without_a_place_is_refused(place):
    with pytest.raises(ConfigError, match=rf"has no '\{{{place}\}}' in it"):
        checked_template("{instruction} {advantage}".replace(f"{{{place}}}", ""))


def test_an_instruction_stands_at_all_its_places_and_is_no_template():
    template = "{instruction} ({advantage}): {instruction}"
    assert with_advantage(template, "say {advantage}", "good") == "say {advantage} (good): say {advantage}"
    assert advantages_of(("good", None), 2) == ["good", None]
    with pytest.raises(InputError, match="3 entries, the batch 2 samples"):
        advantages_of(["good"] * 3, 2)


def test_examples_bring_their_word(family, family_checkpoint, call):
    config = family.config.from_pretrained(family_checkpoint)
    collator = vlahub.data.collator_for(config, call.processor, unnorm_key=family.unnorm_key)
    example = {"images": VIEWS, "text": "pick the block", "state": [0.1] * 8, "actions": np.zeros((8, 7))}
    if family.unnorm_key is None:
        along = np.stack([np.arange(-15, 65) * 0.5, np.zeros(80), np.zeros(80)], axis=1)
        rot = np.tile(np.eye(3), (80, 1, 1))
        example = {"images": VIEWS, "ego_history_xyz": along[:16], "ego_history_rot": rot[:16]}
        example |= {"ego_future_xyz": along[16:], "ego_future_rot": rot[16:]}
    plain, good = collator([example])["input_ids"], collator([example | {"advantage": "positive"}])["input_ids"]
    both = collator([example, example | {"advantage": "positive"}])
    rows = [row[real.bool()] for row, real in zip(both["input_ids"], both["attention_mask"], strict=True)]
    assert torch.equal(rows[0], plain[0]) and torch.equal(rows[1], good[0]) and len(rows[1]) > len(rows[0])
