"""The first interrupt lets a step end and saves; the second ends the process, and nothing is left behind."""

import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from vlahub.training.finetuning.interruption import StopAfterStep, stopping_at_interrupt


@pytest.fixture
def interrupts():
    """What a process of several does with interrupts: the list of those that came through."""
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    yield came
    signal.signal(signal.SIGINT, before)


def end_of_step(callback):
    control = SimpleNamespace(should_training_stop=False, should_save=False)
    callback.on_step_end(None, None, control)
    return control.should_training_stop, control.should_save


def test_the_first_interrupt_is_for_after_the_step_and_the_second_is_the_processes(interrupts):
    stop, own = StopAfterStep(), signal.getsignal(signal.SIGINT)
    with stopping_at_interrupt(stop, 1):
        assert end_of_step(stop) == (False, False)
        signal.raise_signal(signal.SIGINT)
        assert stop.asked and not interrupts
        assert end_of_step(stop) == (True, True)
        signal.raise_signal(signal.SIGINT)
        assert interrupts == [1]
    assert signal.getsignal(signal.SIGINT) is own


def test_an_error_leaves_interrupts_as_they_were(interrupts):
    own = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="of the training"), stopping_at_interrupt(StopAfterStep(), 1):
        assert signal.getsignal(signal.SIGINT) is not own
        raise ValueError("of the training")
    assert signal.getsignal(signal.SIGINT) is own


def test_of_several_processes_each_is_interrupted_as_usual(interrupts):
    stop = StopAfterStep()
    with stopping_at_interrupt(stop, 2):
        signal.raise_signal(signal.SIGINT)
    assert interrupts == [1] and not stop.asked


def test_an_interrupt_that_is_ignored_stays_so(interrupts):
    stop = StopAfterStep()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stopping_at_interrupt(stop, 1):
        signal.raise_signal(signal.SIGINT)
    assert not stop.asked


def test_a_training_in_a_thread_leaves_interrupts_to_the_process(interrupts):
    """Python sets what is done with signals in the main thread alone."""
    stop, own = StopAfterStep(), signal.getsignal(signal.SIGINT)

    def train():
        with stopping_at_interrupt(stop, 1):
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(train).result() is own
