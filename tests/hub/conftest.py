"""A Hub on loopback, a tiny checkpoint to push to it, and processes that see no other Hub."""

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType

import pytest
from fresh_python import FreshPython

from vlahub.conversion.cli import main

REPOSITORY = Path(__file__).parents[2]
TIME_LIMIT = 180  # seconds for one answer of a process

# Executes each line of JSON from stdin as Python, and answers with what it left in `result` or with the error.
WORKER = """
import json, os, sys
if os.environ["WITHOUT_VLAHUB"] == "1":
    sys.modules["vlahub"] = None  # every import of it fails
answers, sys.stdout = sys.stdout, sys.stderr
scope = {}
for line in sys.stdin:
    scope["result"] = None
    try:
        exec(json.loads(line), scope)
        answer = {"result": scope["result"]}
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
"""


class Failed(Exception):
    """What was executed raised an error; `kind` is its class."""

    def __init__(self, kind: str, message: str):
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class Python:
    """A process with the Hub's client, to which Python is given piece by piece; it keeps its variables."""

    def __init__(self, url: str, home: Path, vlahub: bool = True, offline: bool = False):
        home.mkdir(parents=True, exist_ok=True)
        settings = {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
            "HF_TOKEN": "dummy",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "WITHOUT_VLAHUB": "0" if vlahub else "1",
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        self.log = home / "stderr.txt"
        with open(self.log, "a") as errors:
            reads, self.asks = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), "rw", strict=True))
            self.answers, writes = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), "rw", strict=True))
            with reads, writes:
                environment = {**inherited, **settings}
                self.process = FreshPython(["-c", WORKER], environment, home, reads, writes, errors)

    def __call__(self, code: str, **values: object):
        """Execute code with these variables set; returns what it left in `result`.

        Raises:
            Failed: it raised an error, or the process ended.
        """
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        timer = threading.Timer(TIME_LIMIT, self.process.kill)
        timer.start()
        try:
            self.asks.write(json.dumps(given + code) + "\n")
            self.asks.flush()
            line = self.answers.readline()
        finally:
            timer.cancel()
        answer = json.loads(line) if line else {"error": "process ended", "message": self.said()[-2000:]}
        if "error" in answer:
            raise Failed(answer["error"], answer["message"])
        return answer["result"]

    def said(self) -> str:
        """Everything printed so far by the processes of this home."""
        return self.log.read_text()

    def close(self) -> None:
        self.process.kill()  # it has nothing to finish, and an orderly end takes seconds
        self.answers.close()
        with suppress(BrokenPipeError):  # of what was not read
            self.asks.close()


def load_module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hub_server() -> Iterator:
    with load_module("hub_server", Path(__file__).with_name("hub_server.py")).HubServer() as server:
        yield server


@pytest.fixture
def hub(hub_server) -> Iterator:
    """The server, with nothing going wrong when the test begins; tests use repositories of their own."""
    hub_server.fail()
    yield hub_server
    hub_server.fail()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A merged CogVLA run in bfloat16; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoint")
    load_module("tiny_run", REPOSITORY / "examples" / "tiny_run.py").TinyRun().write(folder)
    sources = ["--base", str(folder / "base"), "--adapter", str(folder / "run"), "--output", str(folder / "merged")]
    assert main(["merge-lora", *sources, "--num-images", "2", "--platform", "libero", "--quiet"]) == 0
    return folder / "merged"


@pytest.fixture(scope="session")
def examples_folder() -> Path:
    return REPOSITORY / "examples"


@pytest.fixture
def python(hub_server, tmp_path) -> Iterator[Callable[..., Python]]:
    """`python(vlahub=True, offline=False, home="home") -> Python`: a fresh process; those of one home share a cache."""
    with ExitStack() as stack:

        def start(vlahub: bool = True, offline: bool = False, home: str = "home") -> Python:
            process = Python(hub_server.url, tmp_path / home, vlahub, offline)
            stack.callback(process.close)
            return process

        yield start


@pytest.fixture(scope="session")
def pusher(hub_server, tmp_path_factory) -> Iterator[Python]:
    """One process with vlahub for all tests that only push."""
    process = Python(hub_server.url, tmp_path_factory.mktemp("pusher"))
    process("from pathlib import Path\nfrom vlahub.conversion.publishing.push_checkpoint import push_checkpoint")
    yield process
    process.close()


@pytest.fixture(scope="session")
def push(pusher) -> Callable[..., str]:
    """`push_checkpoint(folder, name, ...)` in that process."""

    def run(folder: Path, name: str, **options) -> str:
        options = {"quiet": True, **options}
        code = "result = push_checkpoint(Path(folder), name, **options)"
        return pusher(code, folder=str(folder), name=name, options=options)

    return run


@pytest.fixture(scope="session")
def failed() -> type[Failed]:
    return Failed
