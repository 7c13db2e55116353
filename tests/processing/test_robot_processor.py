"""What the robots' processors have in common: one word for the state, its size and the views, in every family."""

import copy
import warnings

import numpy as np
import pytest
import torch

import vlahub
from vlahub.errors import ConfigError, FarStateWarning, InputError

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
STATE = [0.1 * i for i in range(8)]


@pytest.fixture(scope="module")
def processor(family, family_checkpoint):
    if family.unnorm_key is None:
        pytest.skip("a car has no state")
    return family.processor.from_pretrained(family_checkpoint)


def test_the_state_may_have_its_published_name_but_not_both(processor):
    expected = processor(images=VIEWS, text="go", state=STATE)
    found = processor(images=VIEWS, text="go", proprio=STATE)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(InputError, match="state and proprio"):
        processor(images=VIEWS, text="go", state=STATE, proprio=STATE)


def test_a_state_may_have_an_axis_of_time(processor):
    batch = {"images": [VIEWS] * 2, "text": ["go", "stop"]}
    expected = processor(**batch, state=np.array([STATE, STATE[::-1]]))
    found = processor(**batch, state=np.array([STATE, STATE[::-1]])[:, None])
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(InputError, match=r"state has shape \(2, 2, 8\)"):
        processor(**batch, state=np.zeros((2, 2, 8)))


def test_the_size_of_the_state_has_one_word_in_code_and_the_published_one_on_disk(family, processor, tmp_path):
    assert processor.state_dim == len(STATE)
    published = "state_dim" if family.prefix == "MapAnythingLlava3D" else "proprio_dim"
    assert getattr(processor, published) == len(STATE)
    assert published in processor.to_dict() and len({"state_dim", "proprio_dim"} & set(processor.to_dict())) == 1
    statistics = {"lab": {part: {"q01": [0.0] * 3, "q99": [1.0] * 3} for part in ("action", "state")}}
    given = {"norm_stats": statistics, "state_dim": 3}
    given |= {"action_dim": 3} if family.prefix == "MultimodalVLA" else {}
    parts = processor.image_processor, processor.tokenizer
    with pytest.raises(ConfigError, match="state_dim=3 and proprio_dim=2, two words for one size"):
        family.processor(*parts, **given, proprio_dim=2)
    made = family.processor(*parts, **given, proprio_dim=3)
    assert made(images=VIEWS, text="go", state=[1.0, 0.0, 1.0])["state"].tolist() == [[1.0, -1.0, 1.0]]
    made.save_pretrained(tmp_path)
    assert family.processor.from_pretrained(tmp_path).state_dim == 3
    for word in ("state_dim", "proprio_dim"):
        other = family.processor.from_pretrained(tmp_path, norm_stats={}, **{word: 5})
        assert (other.state_dim, other.proprio_dim) == (5, 5)
        assert family.processor(*parts, **{word: 4}).state_dim == 4


@pytest.mark.parametrize("kind", ["MapAnythingLlava3DImageProcessor", "MultimodalVLAImageProcessor"])
def test_the_number_of_views_has_one_word_in_code_and_the_published_one_on_disk(kind, tmp_path):
    kind = getattr(vlahub, kind)
    made = kind(num_images_in_input=2)
    assert (made.num_views, made.num_images_in_input) == (2, 2)
    assert made.to_dict()["num_views"] == 2 and "num_images_in_input" not in made.to_dict()
    made.save_pretrained(tmp_path)
    for name in ("num_views", "num_images_in_input"):
        assert kind.from_pretrained(tmp_path, **{name: 3}).num_images_in_input == 3
    made.num_images_in_input = None
    assert made.num_views is None


def test_of_statistics_of_the_state_under_both_words_those_of_the_published_word_count(processor):
    """They are written as `proprio`; `state` is read where there is no other."""
    statistics = next(iter(processor.norm_stats.values()))
    own = next(statistics[part] for part in processor.state_parts if part in statistics)
    wider = {
        name: [3 * x for x in values] if name not in ("mask", "names", "units") else values
        for name, values in own.items()
    }
    first, second = processor.state_parts
    both = copy.deepcopy(processor)
    both.norm_stats = {"lab": {"action": statistics["action"], second: wider, first: own}}
    found = both(images=VIEWS, text="go", state=STATE)["state"]
    assert torch.equal(found, processor(images=VIEWS, text="go", state=STATE)["state"])
    both.norm_stats = {"lab": {"action": statistics["action"], second: wider}}
    assert not torch.equal(both(images=VIEWS, text="go", state=STATE)["state"], found)


def test_keys_are_as_many_as_the_samples_and_a_far_state_is_warned_of_for_each(processor):
    two = copy.deepcopy(processor)
    two.norm_stats = {key: copy.deepcopy(next(iter(processor.norm_stats.values()))) for key in ("a", "b")}
    batch = {"images": [VIEWS] * 2, "text": ["go", "stop"]}
    for keys in (["a"], ["a", "b", "a"]):
        with pytest.raises(InputError, match=f"unnorm_key has {len(keys)} entries, the batch 2 rows"):
            two(**batch, state=[STATE] * 2, unnorm_key=keys)
    far = [1e6, *STATE[1:]]
    for states in ([far, STATE], [STATE, far]):  # the one of the one dataset, then of the other
        with pytest.warns(FarStateWarning, match=r"state\[0\] is 1e\+06"):
            two(**batch, state=states, unnorm_key=["a", "b"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            two(**batch, state=states, unnorm_key=["a", "b"])


def test_a_processor_keeps_the_statistics_that_it_was_given(family, processor):
    given = {"lab": {part: {"q01": [0.0] * 3, "q99": [1.0] * 3} for part in ("action", "state")}}
    size = {"action_dim": 3} if family.prefix == "MultimodalVLA" else {}
    made = family.processor(processor.image_processor, processor.tokenizer, norm_stats=given, state_dim=3, **size)
    given["lab"]["state"]["q01"][0] = 0.5
    assert made.norm_stats["lab"]["state"]["q01"] == [0.0] * 3


def test_sizes_and_kinds_of_tensors_that_there_are_not_are_refused(family, processor):
    with pytest.raises(ConfigError, match="state_dim"):
        family.processor(processor.image_processor, processor.tokenizer, state_dim=0)
    with pytest.raises(InputError, match="return_tensors='tf'"):
        processor(images=VIEWS, text="go", state=STATE, return_tensors="tf")


def test_statistics_that_were_put_into_a_processor_are_saved_as_numbers_or_refused(family, processor, tmp_path):
    own = copy.deepcopy(processor)
    values = next(iter(own.norm_stats.values()))["action"]
    values["mean"] = np.zeros(len(values["q01"]), np.float32)
    own.save_pretrained(tmp_path)
    again = next(iter(family.processor.from_pretrained(tmp_path).norm_stats.values()))["action"]
    assert again["mean"] == [0.0] * len(values["q01"])
    next(iter(own.norm_stats.values()))["action"]["mean"] = [float("nan")] * len(values["q01"])
    with pytest.raises(ConfigError, match="norm_stats"):
        own.save_pretrained(tmp_path)
