"""Tiny models of every family and kind with a batch each, for the tests of what trains."""

import os

import pytest
from tiny_batches import load, tiny_batch

collating = load("training", "test_collators")


@pytest.fixture(autouse=True)
def environment_as_before():
    """Training arguments leave settings in the environment: on 4.57 bf16 of one test would be that of all others."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny(golden):
    """`tiny("cogvla", action_head="l1", ...)` -> `Tiny`; `labels=True`: text is learned, too."""

    def make(family, **fields):
        return tiny_batch(golden, family, **fields)

    return make


@pytest.fixture(scope="module")
def family_examples(family):
    """Two examples for the collator of the family."""
    return collating.robot_examples() if family.unnorm_key else collating.driving_examples()
