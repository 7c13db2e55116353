"""Pickled and deep copies of a model and its config are equal, and share nothing with the first."""

import copy
import pickle

import pytest
import torch

WAYS = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy}


@pytest.mark.newest
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_predicts_the_same_and_stands_alone(variant, saved, load, way):
    """Of a model that has predicted nothing: what transformers hooks in to collect hidden states cannot be pickled."""
    first = load()
    model = WAYS[way](first)
    assert type(model) is variant.kind
    memory = {value.data_ptr() for value in first.parameters()}
    assert not memory.intersection(value.data_ptr() for value in model.parameters())
    assert len(list(model.parameters())) == len(list(first.parameters()))  # what was tied is tied
    assert torch.equal(variant.predict(model, variant.prediction()), saved.actions)
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()
    assert torch.equal(variant.predict(first, variant.prediction()), saved.actions)


@pytest.mark.parametrize("way", [*WAYS, "to_dict"])
def test_a_copy_of_a_config_is_equal_and_stands_alone(variant, way):
    config, kind = variant.make(), variant.kind.config_class
    before = copy.deepcopy(config.to_dict())
    copied = kind.from_dict(config.to_dict()) if way == "to_dict" else WAYS[way](config)
    assert type(copied) is kind and copied.to_dict() == before
    for name in before:
        if isinstance(getattr(copied, name, None), dict):
            getattr(copied, name)["changed"] = True
    assert config.to_dict() == before


def test_a_config_that_is_read_and_written_again_is_the_same_file(variant, tmp_path):
    variant.make().save_pretrained(tmp_path / "first")
    variant.kind.config_class.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "again")
    one, other = ((tmp_path / name / "config.json").read_text() for name in ("first", "again"))
    assert one == other
