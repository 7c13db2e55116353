"""No test leaves behind what another may stumble over, or takes others with it: fixtures for each test and each file.

What belongs to the process (environment, current folder, settings of torch, handlers of signals and of logging) is put
back after every test. In a random order (`--shuffle`) a test that has changed any of it fails; and so does a file that
leaves threads that hold up the end of the process, or child processes, when its fixtures have ended, too.
"""

import logging
import os
import signal
import sys
import threading
import time
from multiprocessing import resource_tracker
from pathlib import Path

import fresh_python
import pytest
import torch

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)
ENDING = 5  # seconds that threads and processes may take to end, on a busy machine
OURS = ("PYTEST_CURRENT_TEST", "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR")  # of pytest and of what torch has compiled


def state_of_process():
    """What a test may change while it runs, by name."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    return {
        "the environment": environment,
        "the current folder": os.getcwd(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's determinism": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "handlers of signals": {number: handler_of(number) for number in SIGNALS},
        "handlers of logging": list(logging.getLogger().handlers),
        "the level of logging": logging.getLogger().level,
    }


def handler_of(number):
    """That of a signal; torch's for children, which it sets for good with a DataLoader's first workers, is none."""
    handler = signal.getsignal(number)
    return signal.SIG_DFL if str(getattr(handler, "__module__", "")).startswith("torch.") else handler


def difference(before, after):
    if isinstance(before, dict):
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return ", ".join(f"{name}={before.get(name)!r} -> {after.get(name)!r}" for name in names)
    return f"{before!r} -> {after!r}"


@pytest.fixture(autouse=True)
def the_process_is_as_before(pytestconfig):
    before = state_of_process()
    yield
    after = state_of_process()
    if changed := {name: difference(before[name], after[name]) for name in before if before[name] != after[name]}:
        restore(before)
        if is_strict(pytestconfig):
            pytest.fail(f"the test left changed: {'; '.join(f'{name}: {what}' for name, what in changed.items())}")


@pytest.fixture(autouse=True)
def no_test_ends_the_process():
    """`os._exit` in the process of the tests is a test that fails, and not a worker that is gone with all its tests.

    Children that a test has forked may; and a thread of execnet's does when the run is broken off.
    """
    leave, tests = os._exit, os.getpid()

    def checked(code):
        if os.getpid() == tests and threading.current_thread() is threading.main_thread():
            pytest.fail(f"os._exit({code}) would end the process of the tests")
        leave(code)

    os._exit = checked
    yield
    os._exit = leave


def is_strict(config):
    return config.getoption("--shuffle") is not None


def restore(state):
    """So that only the test fails that has changed something."""
    kept = {name: os.environ[name] for name in OURS if name in os.environ}
    os.environ.clear()
    os.environ.update(state["the environment"] | kept)
    os.chdir(state["the current folder"])
    torch.set_default_dtype(state["torch's default dtype"])
    torch.set_num_threads(state["torch's number of threads"])
    algorithms, torch.backends.cudnn.deterministic = state["torch's determinism"]
    torch.use_deterministic_algorithms(algorithms)
    for number, handler in state["handlers of signals"].items():
        if handler is not None:  # one of another language's, which Python cannot put back
            signal.signal(number, handler)
    logging.getLogger().handlers[:] = state["handlers of logging"]
    logging.getLogger().setLevel(state["the level of logging"])


@pytest.fixture(scope="module", autouse=True)
def nothing_runs_on(pytestconfig):
    if not is_strict(pytestconfig):
        yield
        return
    before = running()
    yield
    end = time.monotonic() + ENDING
    while (left := running() - before) and time.monotonic() < end:
        time.sleep(0.05)
    if left:
        pytest.fail(f"the file left running: {', '.join(sorted(name for name, _ in left))}")


def running():
    """Threads that the end of the process waits for, and child processes: what they are called and their number.

    But for those that libraries start once and for all: the threads in which torch compiles.
    """
    theirs = {thread for executor in executors_of_torch() for thread in executor._threads}
    found = [thread for thread in threading.enumerate() if not thread.daemon and thread not in theirs]
    threads = {(f"thread {thread.name}", thread.ident) for thread in found}
    return threads | {(f"process {command_of(number)}", number) for number in children()}


def executors_of_torch():
    if compiling := sys.modules.get("torch._inductor.async_compile"):
        yield compiling.AsyncCompile.pool()
    if prefetching := getattr(sys.modules.get("torch.utils._functools"), "_prefetch_executor", None):
        yield prefetching


def children():
    """Where the system lists them; but the one that all fresh processes are forked from, and Python's that watches over
    what processes share."""
    found = [int(word) for path in Path("/proc/self/task").glob("*/children") for word in path.read_text().split()]
    kept = fresh_python.number_of_server(), resource_tracker._resource_tracker._pid
    return [number for number in found if number not in kept]


def command_of(number):
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return str(number)
