"""`vlahub` as a user runs it, in this process, and what its stderr may hold."""

import io
from contextlib import redirect_stderr, redirect_stdout

from vlahub.conversion.cli import main
from vlahub.errors import VLAError

UNNAMED = "(--debug shows where)"  # behind the type of an error that nobody raised on purpose


def command(*words: object) -> str:
    """What the command prints.

    Raises:
        VLAError: it refused, in one line that begins with `error: `.
        AssertionError: it ended in another way.
    """
    printed, told = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        code = main([str(word) for word in words])
    text = told.getvalue()
    if code == 0:
        return printed.getvalue()
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert code == 1 and len(errors) == 1 and text.rstrip().endswith(errors[0]), f"exit code {code}: {text}"
    assert "Traceback" not in text and UNNAMED not in text, text
    raise VLAError(errors[0])
