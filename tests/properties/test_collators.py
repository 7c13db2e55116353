"""A batch of examples is its examples one by one, padded; and every entry is what its example says."""

import numpy as np
import pytest
import torch
from drawn import SEEDS
from families import FAMILIES, STATE
from hypothesis import given, settings
from hypothesis import strategies as st

from vlahub.training.collator_answers import IGNORED, answer_labels, with_answers, without_padding
from vlahub.training.collators import collator_for

FEW = settings(max_examples=max(4, settings.default.max_examples // 3))
ROBOTS = ("cogvla", "mapanything_llava3d", "multimodal_vla")
TOKENS = {"input_ids": None, "attention_mask": 0, "labels": IGNORED, "answer_mask": 0}


@pytest.fixture(scope="session")
def collators(tmp_path_factory):
    """`{family: collator}`, with two datasets of their own statistics, and without the text of answers."""
    made = {}
    for name in ROBOTS:
        family = FAMILIES[name]
        folder = family.make(tmp_path_factory.mktemp(name))
        config, processor = (kind.from_pretrained(folder) for kind in (family.config, family.processor))
        made[name] = collator_for(config, processor, unnorm_key=family.unnorm_key)
        keys = made[name].config.norm_stats
        [(_, one)] = keys.items()
        for each in (made[name].config, made[name].processor):
            each.norm_stats = {family.unnorm_key: one, "other": shifted(one)}
    return made


def shifted(statistics):
    """Twice as wide, and elsewhere: whoever takes the wrong ones is found out."""
    return {
        part: {k: v if k == "mask" or not isinstance(v, list) else [2 * x + 0.5 for x in v] for k, v in content.items()}
        if isinstance(content, dict)
        else content
        for part, content in statistics.items()
    }


WORDS = st.lists(
    st.sampled_from(["put", "the", "red", "block", "on", "tray", "Put", "it", "there"]), min_size=1, max_size=7
).map(" ".join)


@st.composite
def examples(draw, chunk, count):
    """Examples of different instructions, datasets, sizes of images and ends of episodes."""
    random = np.random.default_rng(draw(SEEDS))
    weighted, drawn_noise = draw(st.booleans()), draw(st.booleans())
    found = []
    for _ in range(count):
        height, width = draw(st.integers(20, 60)), draw(st.integers(20, 60))
        example = {
            "images": list(random.integers(0, 255, (2, height, width, 3), dtype=np.uint8)),
            "text": draw(WORDS),
            "state": random.standard_normal(len(STATE)).astype(np.float32),
            "actions": random.uniform(-3, 3, chunk).astype(np.float32),
            "unnorm_key": draw(st.sampled_from(["demo_tabletop", "other"])),
        }
        if draw(st.booleans()):
            example["action_is_pad"] = np.arange(chunk[0]) >= draw(st.integers(1, chunk[0]))
        if weighted:
            example["sample_weight"] = float(random.uniform(0, 3))
        if drawn_noise:
            example |= {"time": float(random.uniform(0, 1)), "noise": random.standard_normal(chunk).astype(np.float32)}
        found.append(example)
    return found


@FEW
@given(st.sampled_from(ROBOTS), st.integers(2, 4), st.data())
def test_a_batch_is_its_examples_one_by_one(collators, name, count, data):
    collator = collators[name]
    chunk = collator.config.num_action_chunks, collator.config.action_dim
    drawn = data.draw(examples(chunk, count))
    together, alone = collator(drawn), [collator([example]) for example in drawn]
    real = together["attention_mask"].bool()
    for key, batch in together.items():
        for row, single in enumerate(alone):
            if key in TOKENS:
                own = single["attention_mask"][0].bool()
                assert torch.equal(batch[row][real[row]], single[key][0][own])
                if TOKENS[key] is not None:
                    assert (batch[row][~real[row]] == TOKENS[key]).all()
            elif key == "action_is_pad" and key not in single:
                assert not batch[row].any()
            else:
                assert torch.equal(batch[row], single[key][0]), key
    assert {key for single in alone for key in single} == set(together)


@FEW
@given(st.sampled_from(ROBOTS), st.integers(1, 3), st.data())
def test_actions_and_states_are_normalised_by_the_statistics_of_their_dataset(collators, name, count, data):
    collator = collators[name]
    chunk = collator.config.num_action_chunks, collator.config.action_dim
    drawn = data.draw(examples(chunk, count))
    batch = collator(drawn)
    for row, example in enumerate(drawn):
        parts = collator.config.norm_stats[example["unnorm_key"]]
        wanted = by_hand(example["actions"], parts["action"], clip_unmasked=False)
        np.testing.assert_allclose(batch["actions"][row].numpy(), wanted, atol=2e-6)
        state = parts.get("proprio") or parts["state"]
        np.testing.assert_allclose(batch["state"][row].numpy(), by_hand(example["state"], state), atol=2e-6)
        if "sample_weight" in example:
            assert batch["sample_weight"][row].item() == np.float32(example["sample_weight"])
        if "action_is_pad" in example:
            assert batch["action_is_pad"][row].tolist() == example["action_is_pad"].tolist()


def by_hand(values, statistics, clip_unmasked=True):
    low, high = (np.array(statistics[key], np.float64) for key in ("q01", "q99"))
    mask = np.array(statistics.get("mask") or [True] * len(low))
    inside = np.clip(2 * (values.astype(np.float64) - low) / (high - low + 1e-8) - 1, -1, 1)
    return np.where(mask, inside, np.clip(values, -1, 1) if clip_unmasked else values)


class Padding:
    pad_token_id, pad_token, unk_token_id, eos_token_id = 0, "<pad>", 1, 2


TEXT = st.lists(st.integers(3, 99), min_size=1, max_size=5)


@given(
    st.lists(st.tuples(TEXT, st.lists(st.integers(100, 199), max_size=4)), min_size=1, max_size=4),
    st.booleans(),
    st.data(),
)
def test_answers_stand_behind_their_prompts_and_alone_are_learnt(rows, left, data):
    length = max(len(prompt) for prompt, _ in rows) + data.draw(st.integers(0, 2))
    pads = [[0] * (length - len(prompt)) for prompt, _ in rows]
    ids = [pad + prompt if left else prompt + pad for (prompt, _), pad in zip(rows, pads, strict=True)]
    mask = [[int(token != 0) for token in row] for row in ids]
    found = with_answers(torch.tensor(ids), torch.tensor(mask), [answer for _, answer in rows], Padding())
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    assert found["input_ids"].shape == found["labels"].shape == found["attention_mask"].shape == (len(rows), longest)
    for row, (prompt, answer) in enumerate(rows):
        count = len(prompt) + len(answer)
        assert found["input_ids"][row, :count].tolist() == prompt + answer
        assert found["attention_mask"][row].tolist() == [1] * count + [0] * (longest - count)
        assert found["labels"][row].tolist() == [IGNORED] * len(prompt) + answer + [IGNORED] * (longest - count)
    lengths = torch.tensor([len(answer) for _, answer in rows])
    assert torch.equal(answer_labels(found["input_ids"], found["attention_mask"], lengths), found["labels"])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 1), st.data())
def test_steps_behind_an_episode_are_not_learnt(prompts, tokens, behind, data):
    counts = [1 + prompt + tokens + behind for prompt in prompts]
    length = max(counts)
    mask = torch.arange(length) < torch.tensor(counts)[:, None]
    is_pad = torch.tensor([data.draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens)) for _ in prompts])
    labels = torch.arange(length).expand(len(prompts), -1) + 100
    found = without_padding(labels, mask.long(), is_pad, behind)
    for row, count in enumerate(counts):
        for place in range(length):
            token = place - (count - behind - tokens)
            hidden = 0 <= token < tokens and bool(is_pad[row, token])
            assert found[row, place] == (IGNORED if hidden else labels[row, place])
