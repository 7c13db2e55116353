"""Runs tests in forked processes, so that only the first pays for the imports of the libraries.

Reads one JSON object a line: {"tests": [...], "limit": seconds, "log": path}; answers each with a line
{"code": pytest's exit code, or null where time was up, "seconds": ...}. It imports nothing of vlahub itself.
"""

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress

LIBRARIES = """
    numpy PIL.Image safetensors.torch tokenizers huggingface_hub torch torch._dynamo torch.utils.data
    transformers.generation transformers.modeling_utils transformers.trainer transformers.models.llama.modeling_llama
    transformers.models.siglip.modeling_siglip transformers.models.qwen3_vl.modeling_qwen3_vl peft accelerate datasets
    pytest
"""


def main():
    # Reports go where the starting process reads them; what tests print goes to their logs.
    reports = os.fdopen(os.dup(1), "w")
    for name in LIBRARIES.split():
        importlib.import_module(name)
    assert "vlahub" not in sys.modules
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answer(request)), file=reports, flush=True)


def answer(request):
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        run_tests(request)
    code = exit_code(process, start + request["limit"])
    return {"code": code, "seconds": round(time.monotonic() - start, 1)}


def run_tests(request):
    """In the child; does not return."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    code = 3
    try:
        import pytest

        code = int(pytest.main([*request["options"], *request["tests"]]))
    finally:
        sys.stdout.flush()
        os._exit(code)


def exit_code(process, end):
    """Of a child, or None if it had to be ended; nothing that it started outlives it."""
    code = None
    while code is None and time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if code is None:
        os.waitpid(process, 0)
    return code


if __name__ == "__main__":
    main()
