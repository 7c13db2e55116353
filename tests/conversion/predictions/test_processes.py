"""One process computes where it is told, and several each on their own device, all of them or none."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from vlahub.conversion.predictions import processes as joined
from vlahub.conversion.predictions.processes import Processes, joined_processes
from vlahub.errors import InputError


@pytest.mark.parametrize(("asked", "device"), [(None, "cpu"), ("cuda", "cuda")])
def test_one_process_is_the_main_one_and_computes_where_it_is_told(asked, device, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(joined, "PartialState", None)
    with joined_processes(asked) as found:
        assert (found.rank, found.count, found.device, found.is_main) == (0, 1, device, True)
        with found.main_first():
            pass


def test_of_several_processes_the_first_prints():
    assert [Processes(rank, 3, "cpu", nullcontext).is_main for rank in range(3)] == [True, False, False]


@pytest.fixture
def three(monkeypatch):
    """`three(asked device, whether there is a GPU, how many were joined)`: the second of three processes."""
    monkeypatch.setenv("WORLD_SIZE", "3")

    def join(asked, has_gpu=True, count=3, fails=False):
        seen = []

        def state(cpu):
            seen.append(cpu)
            ended = {"destroy_process_group": lambda: seen.append("ended"), "main_process_first": "first"}
            return SimpleNamespace(process_index=1, num_processes=count, device=torch.device("meta", 1), **ended)

        monkeypatch.setattr(joined, "PartialState", state)
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: has_gpu)
        with joined_processes(asked) as found:
            assert (found.rank, found.count, found.is_main, found.main_first) == (1, 3, False, "first")
            assert found.device == "meta:1" and seen[1:] == []
        return seen

    return join


@pytest.mark.parametrize(
    ("asked", "has_gpu", "cpu"), [(None, True, False), (None, False, True), ("cpu", True, True), ("cpu", False, True)]
)
def test_several_processes_are_on_the_cpu_where_that_is_asked_for_or_all_there_is(asked, has_gpu, cpu, three):
    assert three(asked, has_gpu) == [cpu, "ended"]


def test_one_device_for_several_processes_and_processes_that_are_missing_are_refused(three):
    with pytest.raises(InputError, match="--device cuda:0: of 3 processes each takes a device of its own"):
        three("cuda:0")
    with pytest.raises(InputError, match="3 processes were started, but accelerate joined 2 of them"):
        three(None, count=2)
