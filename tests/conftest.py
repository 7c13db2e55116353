"""Golden cases (tests/golden): weights and inputs follow from their names by a formula, outputs are stored.

value(key, shape, mean, std) = mean + std * standard normal numbers seeded by the CRC-32 of the key.
"""

import gc
import json
import os
import re
import signal
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from leftovers import no_test_ends_the_process, nothing_runs_on, the_process_is_as_before
from random_order import pytest_addoption, pytest_collection_modifyitems

__all__ = [
    "no_test_ends_the_process",
    "nothing_runs_on",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "the_process_is_as_before",
]

FOLDER = Path(__file__).parent / "golden"

gc.disable()  # until the tests are collected: all that is made before stays

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job of a background shell, and in all of its children
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """The garbage collector looks through what tests make, not through half a million objects of modules, too."""
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


def draw(key, shape, mean=0.0, std=1.0):
    normal = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    return np.asarray(mean + std * normal, dtype=np.float32)


def expanded(pattern):
    """`a.{0..2}.b{1,3}` -> the six keys that it stands for."""
    choices = []
    for i, part in enumerate(re.split(r"\{([^}]*)\}", pattern)):
        first, dots, last = part.partition("..") if i % 2 else (part, "", "")
        choices.append(range(int(first), int(last) + 1) if dots else part.split(",") if i % 2 else [part])
    return ["".join(map(str, parts)) for parts in product(*choices)]


@dataclass
class GoldenCase:
    """One case: `config` and other fields as stored, tensors made from their names."""

    content: dict

    def __getitem__(self, field):
        return self.content[field]

    @property
    def config(self):
        return self.content["config"]

    def state(self):
        """The published model's weights, `{key: tensor}`."""
        specs = {key: spec for pattern, spec in self.content["state"].items() for key in expanded(pattern)}
        return {
            key: stored(spec) if isinstance(spec, dict) else torch.from_numpy(draw(key, *spec))
            for key, spec in specs.items()
        }

    def input(self, name):
        spec = self.content["inputs"][name]
        if "values" in spec:
            return stored(spec)
        return torch.from_numpy(draw(f"input.{name}", spec["shape"], spec.get("mean", 0.0), spec.get("std", 1.0)))

    def check(self, name, found):
        """Compare a tensor or array with the stored output: shape, and values at the stored places."""
        spec = self.content["outputs"][name]
        found = torch.as_tensor(found).detach().cpu()
        assert list(found.shape) == spec["shape"], f"{name}: shape {tuple(found.shape)}, stored {spec['shape']}"
        found = found.flatten()
        if "index" in spec:
            found = found[torch.tensor(spec["index"])]
        wanted = torch.tensor(spec["values"])
        if spec.get("dtype") == "int64":
            assert found.tolist() == wanted.tolist(), name
        else:
            torch.testing.assert_close(
                found.double(), wanted.double(), **self.content["tolerance"], msg=lambda text: f"{name}: {text}"
            )


def stored(spec):
    values = np.asarray(spec["values"], dtype=spec.get("dtype", "float32"))
    return torch.from_numpy(values.reshape(spec["shape"]) if "shape" in spec else values)


@pytest.fixture(scope="session", autouse=True)
def disk_is_not_waited_for():
    """No test cuts the power; that outputs are brought to the disk is seen in conversion/test_output_folder.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
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
def golden():
    """`golden("llava3d/pi0")` -> the case."""
    return lambda name: GoldenCase(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


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
