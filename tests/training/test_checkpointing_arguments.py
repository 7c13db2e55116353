"""Gradient checkpointing is asked for by one name on both lines of transformers, and none of them warns."""

import warnings
from types import SimpleNamespace

import pytest

from vlahub.training.finetuning.arguments import make_arguments
from vlahub.training.finetuning.memory import checkpoints

pytestmark = pytest.mark.newest


@pytest.mark.parametrize("on", [True, False])
def test_checkpointing_is_switched_and_announces_no_removal(on, tmp_path):
    settings = {"gradient_checkpointing": on, "gradient_checkpointing_kwargs": {"use_reentrant": on}}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        arguments = make_arguments(output_dir=str(tmp_path), use_cpu=True, **settings)
    assert checkpoints(arguments) == on
    # What each line's Trainer reads.
    assert getattr(arguments, "activation_checkpointing", on) == arguments.gradient_checkpointing == on
    kept = getattr(arguments, "activation_checkpointing_kwargs", arguments.gradient_checkpointing_kwargs)
    assert kept == arguments.gradient_checkpointing_kwargs == {"use_reentrant": on}


def test_checkpointing_is_seen_by_either_name():
    old, new = "gradient_checkpointing", "activation_checkpointing"
    for given in ({old: True}, {old: True, new: None}, {old: False, new: True}):
        assert checkpoints(SimpleNamespace(**given))
    for given in ({old: False}, {old: False, new: None}):
        assert not checkpoints(SimpleNamespace(**given))


def test_checkpointing_by_its_newer_name_is_what_was_asked_for(tmp_path):
    new = "activation_checkpointing"
    plain = make_arguments(output_dir=str(tmp_path), use_cpu=True)
    if not hasattr(plain, new):
        pytest.skip("transformers 4.57 has the old name alone")
    given = {new: True, f"{new}_kwargs": {"preserve_rng_state": False}}
    found = make_arguments(output_dir=str(tmp_path), use_cpu=True, **given)
    assert {name: getattr(found, name) for name in given} == given and checkpoints(found)
