"""An interrupt ends a training after its step, with a checkpoint to go on from."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback


class StopAfterStep(TrainerCallback):
    """Saves and stops at the end of the step in which `asked` was set."""

    def __init__(self) -> None:
        self.asked = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.asked:
            control.should_training_stop = control.should_save = True


@contextmanager
def stopping_at_interrupt(callback: StopAfterStep, processes: int) -> Iterator[None]:
    """Let the first interrupt ask for a stop after the step, and the second end the process as usual.

    Of several processes each may be in another step when it is interrupted, and saving is done together: there an
    interrupt raises as usual, and so it does where it is ignored, or in a thread.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if processes > 1 or ignored or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(*_: object) -> None:
        callback.asked = True
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
