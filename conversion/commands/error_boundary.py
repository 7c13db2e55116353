"""The one place where a failure becomes a line on stderr and an exit code; imports nothing that is slow to import."""

import argparse
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...configuration.vla_errors import VLAError
from ..files.output_guard import leftovers
from ..files.settings_errors import one_line

INTERRUPTED = 130
PANIC = "PanicException"  # of libraries written in Rust; no `Exception`, so that nobody catches it by accident


def run(action: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    """Carry out a command; returns its exit code.

    Whatever fails is one line, `error: ...`, and 1; with `--debug` the traceback comes before it.
    """
    before = output_states(arguments)
    try:
        action(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print(str(error) or interruption(arguments, before), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError as error:
        if error.filename is not None or not stdout_is_closed():
            return failed(error, arguments)
        return 1
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        return failed(error, arguments)
    return 0


def failed(error: BaseException, arguments: argparse.Namespace) -> int:
    debug = getattr(arguments, "debug", False)
    if debug:
        traceback.print_exception(type(error), error, error.__traceback__)
    print(f"error: {reason_of(error, debug)}", file=sys.stderr)
    return 1


def reason_of(error: BaseException, debug: bool = False) -> str:
    """An error in one line: our own and the system's as they are, others with their type."""
    text = one_line(error)
    if isinstance(error, VLAError):
        return text
    if isinstance(error, MemoryError):
        return "there is not enough memory for this" + (f": {text}" if text else ".")
    if isinstance(error, OSError) and error.strerror:
        return text
    kind = type(error).__name__
    hint = "" if debug else " (--debug shows where)"
    return (f"{kind}: {text}" if text else kind) + hint


def stdout_is_closed() -> bool:
    """Whether nobody reads what is printed any more (`| head`); then nothing more is printed, not even at exit."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed


def output_states(arguments: argparse.Namespace) -> dict[Path, tuple | None]:
    """The outputs of a command, with what tells whether they were replaced."""
    outputs = [getattr(arguments, name, None) for name in ("output", "plot")]
    return {path: state_of(path) for path in outputs if isinstance(path, Path)}


def state_of(path: Path) -> tuple | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # no name of a file at all
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def interruption(arguments: argparse.Namespace, before: dict[Path, tuple | None]) -> str:
    """What an interrupted command has done, as far as it can be seen."""
    parts = [f"{path} was written before" for path, state in before.items() if state_of(path) != state]
    left = [str(path) for output in before for path in leftovers(output)]
    if left:
        parts.append(f"{', '.join(left)} is left, and can be removed")
    repository = getattr(arguments, "repo_id", None) or getattr(arguments, "push_to_hub", None)
    if repository:
        parts.append(f"what was uploaded to {repository} by then, its page on the Hub says")
    return "interrupted; " + ("; ".join(parts) if parts else "nothing was left behind")


@contextmanager
def ending_at_interrupt() -> Iterator[None]:
    """While there is nothing to clean up, as during start-up, an interrupt ends the process at once and quietly.

    An exception would have to pass through the imports of large libraries, which print or swallow it now and then.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as under nohup
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, end_process)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def end_process(*_: object) -> None:
    os.write(2, b"interrupted; nothing was left behind\n")
    os._exit(INTERRUPTED)
