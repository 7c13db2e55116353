"""Entries of examples: what is no example, no number of its form or out of its range is named with its place."""

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.errors import InputError
from vlahub.training.collator_entries import (
    advantages,
    embodiments,
    entries,
    flags,
    given_numbers,
    numbers,
    sample_weights,
    texts,
    views,
)


@pytest.mark.parametrize(
    ("read", "examples", "words"),
    [
        (lambda given: entries(given, "a"), {"a": 1}, r"takes a list of examples, .*; got a dict\."),
        (lambda given: entries(given, "a"), [{"a": 1}, 5], "got a list with a int"),
        (lambda given: entries(given, "a"), [], "got no examples"),
        (lambda given: entries(given, "a"), [{"a": 1}, {"a": None, "b": 2}], r"examples\[1\] has no 'a'; .* a, b"),
        (lambda given: texts(given, "a"), [{"a": "x"}, {"a": 3}], r"examples\[1\]\['a'\] is a int; a string"),
        (lambda given: texts(given, "a", ""), [{"a": 3}], r"examples\[0\]\['a'\] is a int; a string"),
        (
            lambda given: numbers(given, "a", (2, 3)),
            [{"a": np.zeros((3, 2))}],
            r"has shape \(3, 2\); \(2, 3\) is needed",
        ),
        (lambda given: numbers(given, "a", (2,)), [{"a": np.zeros(1)}], r"has shape \(1,\); \(2,\) is needed"),
        (lambda given: given_numbers(given, {"a": ()}), [{"a": 1.0}, {}], r"examples\[1\] has no 'a', but others"),
        (lambda given: flags(given, "a", 2), [{}, {"a": [0, 2]}], r"examples\[1\]\['a'\] is \[0, 2\]; 2 truth values"),
        (lambda given: flags(given, "a", 2), [{"a": [True]}], r"examples\[0\]\['a'\] is \[True\]; 2 truth values"),
        (
            sample_weights,
            [{"sample_weight": 1.0}, {"sample_weight": -0.5}],
            r"examples\[1\]\['sample_weight'\] is -0\.5",
        ),
        (sample_weights, [{"sample_weight": 1.0}, {}], r"examples\[1\] has no 'sample_weight', but others"),
        (lambda given: embodiments(given, 3), [{"embodiment_id": 3}], r"'embodiment_id'\] is 3; 0 to 2 is possible"),
        (lambda given: embodiments(given, 3), [{"embodiment_id": -1}], r"'embodiment_id'\] is -1; 0 to 2 is possible"),
        (lambda given: embodiments(given, 3), [{"embodiment_id": 0.5}], r"must be whole numbers, got \[0\.5\]"),
        (lambda given: embodiments(given, 3), [{}], r"examples\[0\] has no 'embodiment_id'"),
        (
            lambda given: views(given, None),
            [{"images": np.zeros((4, 4, 3))}],
            r"'images'\] is a ndarray; a list or a dict",
        ),
    ],
)
def test_an_entry_that_cannot_be_is_named_with_its_place(read, examples, words):
    with pytest.raises(InputError, match=words):
        read(examples)


def test_what_only_some_examples_have_is_filled_in_where_that_is_possible():
    assert texts([{"a": "x"}, {}, {"a": None}], "a", "none") == ["x", "none", "none"]
    assert flags([{}, {"a": [0, 1]}], "a", 2)["a"].tolist() == [[False, False], [False, True]]
    assert advantages([{}, {"advantage": "good"}]) == {"advantage": [None, "good"]}
    assert flags([{}, {"a": None}], "a", 2) == advantages([{}]) == given_numbers([{}], {"a": ()}) == {}


def test_numbers_of_a_batch_are_stacked_in_their_order_and_dtype():
    found = numbers([{"a": [1, 2]}, {"a": np.array([3.0, 4.0])}], "a", (2,), torch.float64)
    assert found.dtype == torch.float64 and found.tolist() == [[1, 2], [3, 4]]
    assert sample_weights([{"sample_weight": 0}, {"sample_weight": 2.5}])["sample_weight"].tolist() == [0, 2.5]
    assert embodiments([{"embodiment_id": 2}, {"embodiment_id": 0}], 3) == {"embodiment_id": [2, 0]}
    assert embodiments([{"embodiment_id": 2}], 1) == {}


def test_views_by_name_are_augmented_in_the_order_of_the_names():
    red, blue = (np.full((4, 4, 3), value, np.uint8) for value in (200, 20))
    examples = [{"images": {"wrist": blue, "front": red}}]
    (found,) = views(examples, lambda image: Image.fromarray(np.asarray(image) + 1), ["front", "wrist"])
    assert [np.asarray(view).max() for view in found] == [201, 21]
    assert views(examples, None, ["front", "wrist"]) == [examples[0]["images"]]
