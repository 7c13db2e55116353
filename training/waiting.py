"""A bar for work that has no steps to count, on a terminal alone. Nothing here is slow to import."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

WAIT = 2.0  # seconds before a bar appears


@contextmanager
def waiting(what: str, shown: bool = True) -> Iterator[None]:
    """Show on a terminal what takes so long and for how long already.

    shown: false in a call that is quiet, and in all processes but the first.
    """
    from transformers.utils import logging

    is_shown = shown and logging.is_progress_bar_enabled()
    if not is_shown or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    from tqdm import tqdm

    ended = Event()

    def tick() -> None:
        if ended.wait(WAIT):
            return
        with tqdm(desc=what, bar_format="{desc} {elapsed}", leave=False) as bar:
            while not ended.wait(0.5):
                bar.refresh()

    clock = Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()
