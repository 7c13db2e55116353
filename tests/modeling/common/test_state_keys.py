"""The names of weights in a saved model: those of earlier releases, the same on both lines of transformers.

`golden/state_keys.json` holds them; a name that changes makes every published checkpoint unreadable.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from model_variants import FEW_FIRST
from safetensors.torch import load_file, save_file

from vlahub.errors import ConfigError

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


def one_more(weights, name):
    weights["somebody.weight"] = torch.ones(2)
    return "unexpected keys: .*somebody.weight"


def one_more_inside(weights, name):
    weights[f"{name}_of_another_release"] = torch.ones(2)
    return f"unexpected keys: .*{name}_of_another_release"


def one_less(weights, name):
    del weights[name]
    return f"missing keys: .*{name}"


def one_of_another_shape(weights, name):
    weights[name] = torch.cat([weights[name], weights[name]])
    return f"mismatched keys: .*{name}"


@pytest.mark.parametrize("variant", FEW_FIRST, indirect=True)
@pytest.mark.parametrize("change", [one_more, one_more_inside, one_less, one_of_another_shape])
def test_weights_that_are_not_those_of_the_model_are_refused_by_name(change, variant, saved, tmp_path):
    shutil.copytree(saved.folder, tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "model.safetensors"
    weights = load_file(path)
    both = weights.keys() & saved.model.state_dict().keys()  # under one name in the file and in the model
    message = change(weights, min(name for name in both if weights[name].dim() == 2))
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(ConfigError, match=message):
        variant.kind.from_pretrained(path.parent)
