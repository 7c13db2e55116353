"""What all tests share: golden cases, and each family with a checkpoint of it."""

import gc
import os
import signal
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from families import FAMILIES
from golden_cases import golden_case
from leftovers import no_test_ends_the_process, nothing_runs_on, the_process_is_as_before
from own_draws import pytest_fixture_setup, pytest_runtest_call
from which_tests import pytest_addoption, pytest_collection_modifyitems, pytest_terminal_summary

__all__ = [
    "no_test_ends_the_process",
    "nothing_runs_on",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_fixture_setup",
    "pytest_runtest_call",
    "pytest_terminal_summary",
    "the_process_is_as_before",
]

gc.disable()  # until the tests are collected: all that is made before stays

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job of a background shell, and in all of its children
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """The garbage collector looks through what tests make, not through half a million objects of modules, too."""
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def disk_is_not_waited_for():
    """No test cuts the power; that outputs are brought to the disk is seen in conversion/test_output_folder.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_trainer_collects_garbage():
    """accelerate does before and after each training, to give a card its memory back; tests have none of one."""
    from accelerate.utils import memory

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "clear_device_cache", lambda garbage_collection=False: None)
        yield


@pytest.fixture(autouse=True)
def gradients_are_on_again():
    """A compiled function that raises under `no_grad` leaves them off (torch 2.13)."""
    yield
    torch.set_grad_enabled(True)


@pytest.fixture
def without_autocast(monkeypatch):
    """torch knows none for the meta device, on which predictions run to show that they ask it for no number."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


@pytest.fixture(scope="session")
def adapters_of_transformers():
    """5.24 wants a release of PEFT for a model's own methods; `peft.get_peft_model` works with any."""
    from transformers.integrations.peft import MIN_PEFT_VERSION
    from transformers.utils.peft_utils import check_peft_version

    try:
        check_peft_version(min_version=MIN_PEFT_VERSION)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def golden():
    """`golden("llava3d/pi0")` -> the case."""
    return golden_case


@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    """Each family in turn."""
    return FAMILIES[request.param]


@pytest.fixture(scope="session")
def family_checkpoint(family, tmp_path_factory):
    """A checkpoint of the family with its processor, float32; not to be changed."""
    return family.make(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def family_call(family):
    """`family_call(model, processor, views) -> actions` and the inputs, as the family is called."""
    names = {"np": np}
    exec(family.call, names)

    def call(model, processor, views, seed=0):
        inputs = names["prepare"](processor, views)
        torch.manual_seed(seed)  # of the noise, where actions begin as noise
        return names["predict"](model, inputs)

    return call
