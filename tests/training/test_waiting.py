"""A bar for what has no steps to count: after a while, on a terminal, and gone with the work."""

import time
from types import SimpleNamespace

import pytest
import tqdm
from transformers.utils import logging

from vlahub.training import waiting as module
from vlahub.training.waiting import waiting


@pytest.fixture
def bars(monkeypatch):
    """The bars that were shown, on what passes for a terminal."""
    found = []

    class Bar:
        def __init__(self, desc, bar_format, leave):
            self.desc, self.form, self.leave, self.refreshed, self.is_open = desc, bar_format, leave, 0, True
            found.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.is_open = False

        def refresh(self):
            self.refreshed += 1

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    monkeypatch.setattr(logging, "is_progress_bar_enabled", lambda: True)
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "WAIT", 0.01)
    return found


def until(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)


def test_work_that_takes_long_has_a_bar_that_goes_with_it(bars):
    with pytest.raises(KeyError), waiting("reading"):
        until(lambda: bars)
        assert [(bar.desc, bar.leave, bar.is_open) for bar in bars] == [("reading", False, True)]
        assert "{elapsed}" in bars[0].form
        raise KeyError
    assert len(bars) == 1 and not bars[0].is_open


def test_work_that_is_soon_done_has_none(bars, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 30)
    start = time.monotonic()
    with waiting("reading"):
        pass
    assert not bars and time.monotonic() - start < 20


HIDDEN = {
    "quiet": lambda monkeypatch: False,
    "bars are off": lambda monkeypatch: monkeypatch.setattr(logging, "is_progress_bar_enabled", lambda: False),
    "no terminal": lambda monkeypatch: monkeypatch.setattr(module.sys.stderr, "isatty", lambda: False),
    "a terminal without a cursor": lambda monkeypatch: monkeypatch.setenv("TERM", "dumb"),
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_nothing_is_shown_where_nobody_would_see_it_or_wants_to(hide, bars, monkeypatch):
    shown = hide(monkeypatch) is not False
    with waiting("reading", shown):
        time.sleep(0.1)
    assert not bars
