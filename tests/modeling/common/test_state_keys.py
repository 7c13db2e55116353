"""The names of weights in a saved model: those of earlier releases, the same on both lines of transformers.

`golden/state_keys.json` holds them; a name that changes makes every published checkpoint unreadable.
"""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parents[2] / "golden" / "state_keys.json"


def described(weights):
    """`{name with * for numbers: [how many, the shapes]}`, sorted."""
    found = {}
    for key in sorted(weights):
        entry = found.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", key), [0, set()])
        entry[0] += 1
        entry[1].add("x".join(map(str, weights[key].shape)))
    return {pattern: f"{count}: {' '.join(sorted(shapes))}" for pattern, (count, shapes) in found.items()}


@pytest.mark.newest
def test_names_and_shapes_are_those_of_earlier_releases(name, saved):
    assert described(load_file(saved.folder / "model.safetensors")) == json.loads(GOLDEN.read_text())[name]


def test_every_name_is_one_of_the_model_that_runs_or_is_renamed_for_the_other_line(variant, saved):
    """`load_state_dict`, as a Trainer that resumes calls it, finds a place for each, and leaves none out."""
    weights = load_file(saved.folder / "model.safetensors")
    model = variant.kind(variant.make())
    result = model.load_state_dict(weights, strict=False)
    assert result.unexpected_keys == []
    wanted = saved.model.state_dict()
    assert [key for key, value in model.state_dict().items() if not torch.equal(value, wanted[key])] == []
