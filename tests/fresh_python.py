"""Fresh processes that begin where torch is imported already: each is forked from one that has done nothing else.

Importing torch takes a process seconds, and the tests start a hundred of them. What reads the environment when it is
imported (huggingface_hub, transformers) and all that is ours is imported by each process itself.
"""

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from contextlib import suppress
from functools import cache
from pathlib import Path

IMPORTED = ("numpy", "PIL.Image", "tokenizers", "safetensors.torch", "torch._dynamo", "torchao.quantization", "yaml")
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
import fresh_python
sys.path.pop(0)
fresh_python.serve(int(sys.argv[2]))
"""


def in_fresh_python(words, *, env, cwd, timeout=200):
    """`subprocess.run([sys.executable, *words], ...)` with its output as text.

    Args:
        words: `-c CODE` or `-m MODULE`, `-I` before it or not, and what the process finds in `sys.argv`.

    Raises:
        subprocess.TimeoutExpired: after `timeout` seconds, when it has been killed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
        process = FreshPython(words, env, cwd, nothing, out, err)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read().decode(), err.read().decode())


class FreshPython:
    """One such process, which reads and writes the given files."""

    def __init__(self, words, env, cwd, stdin, stdout, stderr):
        self.words, self.code = [*map(str, words)], None
        asked = {"words": self.words, "env": dict(env), "cwd": str(cwd)}
        told, tells = os.pipe()
        with tempfile.TemporaryFile() as request:
            request.write(json.dumps(asked).encode())
            request.flush()
            files = (file.fileno() for file in (request, stdin, stdout, stderr))
            socket.send_fds(server()[0], [b"."], [tells, *files])
        os.close(tells)
        self.told = os.fdopen(told)
        self.pid = int(self.told.readline())

    def wait(self, timeout):
        """Its exit code as subprocess tells it; TimeoutExpired where it has none in `timeout` seconds."""
        if self.code is None:
            if not select.select([self.told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.words, timeout)
            self.code = int(self.told.readline())
            self.told.close()
        return self.code

    def kill(self):
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait(60)


@cache
def server():
    """The server of this process, which ends with it -> a socket to ask it, and its number."""
    ours, its = socket.socketpair()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    command = [sys.executable, "-I", "-c", SERVER, str(Path(__file__).parent), str(its.fileno())]
    process = subprocess.Popen(command, env=environment, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    return ours, process.pid


def number_of_server():
    """None where no fresh process was asked for yet."""
    return server()[1] if server.cache_info().currsize else None


def serve(descriptor):
    """In the server: a fork for each request; whoever asked is told its number, and then its exit code."""
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    assert not {"huggingface_hub", "transformers", "vlahub"} & sys.modules.keys()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks that wait for processes
    with socket.socket(fileno=descriptor) as asked:
        while files := socket.recv_fds(asked, 1, 5)[1]:
            if os.fork() == 0:
                asked.close()
                tell_of_a_process(*files)
            for file in files:
                os.close(file)


def tell_of_a_process(tells, request, *streams):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked = json.loads(os.pread(request, os.fstat(request).st_size, 0))
    if (process := os.fork()) == 0:
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        for file in (tells, request, *streams):
            os.close(file)
        os._exit(exit_code_of(**asked))
    for stream in streams:
        os.close(stream)
    os.write(tells, f"{process}\n".encode())
    os.write(tells, f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n".encode())
    os._exit(0)


def exit_code_of(words, env, cwd):
    """Do in this process what `python words` does; without tidying up memory, which takes long and changes nothing."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    try:
        execute(words)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush(), sys.stderr.flush()
    return code


def execute(words):
    if words[0] == "-I":
        words = words[1:]
    else:
        paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:0] = ["" if words[0] == "-c" else os.getcwd(), *paths]
    option, text, *rest = words
    sys.argv = [option, *rest]
    if option == "-c":
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(text, "<string>", "exec"), main.__dict__)
    else:
        runpy.run_module(text, run_name="__main__", alter_sys=True)
