"""The thread that owns a model: batches, turns, bounds, errors of one that are not another's."""

import threading
import time

import pytest

from vlahub.conversion.serving.prediction_queue import PredictionQueue
from vlahub.conversion.serving.refusals import RequestRefused, ServerBusy

WAIT = 60


class Gate:
    """A prediction that waits until it may, and notes what it was asked together."""

    def __init__(self):
        self.open, self.batches, self.entered = threading.Event(), [], threading.Event()
        self.error = ValueError

    def __call__(self, requests):
        self.batches.append(list(requests))
        self.entered.set()
        assert self.open.wait(WAIT)
        if "bad" in requests:
            raise self.error("bad")
        return [request * 2 for request in requests]


@pytest.fixture
def queue():
    """A queue whose thread is busy with "first" until `gate.open` is set."""
    made = []

    def busy(window=0.0, sizes=(1, 2, 3, 4), max_waiting=8):
        gate = Gate()
        made.append((PredictionQueue(gate, window, sizes, max_waiting), gate))
        made[-1][0].submit("first", None, "first")
        assert gate.entered.wait(WAIT)
        return made[-1]

    yield busy
    for each, gate in made:
        gate.open.set()
        each.close(WAIT)


def test_clients_take_turns_and_a_batch_holds_one_group(queue):
    waiting, gate = queue(sizes=(1, 2, 3))
    for request, group in {"a1": 1, "a2": 1, "a3": 1, "b1": 1, "c1": 2, "b2": 1, "d1": None}.items():
        last = waiting.submit(request, group, request[0])
    gate.open.set()
    assert last.result(WAIT).value == "d1d1"
    waiting.close(WAIT)
    assert gate.batches[1:] == [["a1", "b1", "a2"], ["c1"], ["d1"], ["b2", "a3"]]


@pytest.mark.parametrize(
    ("asked", "batches"),
    [
        ({"a1": None, "b1": None, "c1": None}, [["a1"], ["b1"], ["c1"]]),
        ({"a1": 1, "a2": 2, "a3": 1, "b1": 3}, [["a1"], ["b1"], ["a2"], ["a3"]]),
        ({"a1": 1, "a2": 1, "a3": 2, "a4": 1}, [["a1", "a2"], ["a3"], ["a4"]]),
    ],
)
def test_what_has_no_group_is_predicted_by_itself_and_what_stands_behind_another_group_waits(asked, batches, queue):
    waiting, gate = queue()
    futures = [waiting.submit(request, group, request[0]) for request, group in asked.items()]
    gate.open.set()
    assert [future.result(WAIT / 4).value for future in futures] == [request * 2 for request in asked]
    assert gate.batches[1:] == batches


def test_a_request_alone_is_predicted_once_its_window_is_over():
    queue = PredictionQueue(lambda requests: requests, window=0.01, sizes=(1, 2), max_waiting=8)
    assert queue.submit(1, "group", "a").result(WAIT / 4).batch_size == 1
    queue.close(WAIT)


def test_an_answer_says_how_long_its_own_request_waited_and_its_batch_was_predicted():
    told = []

    def predict(requests):
        time.sleep(0.02)
        return requests

    queue = PredictionQueue(predict, window=WAIT, sizes=(1, 2), max_waiting=8, observe=told.append)
    first = queue.submit(1, "group", "a")
    time.sleep(0.05)
    second = queue.submit(2, "group", "b").result(WAIT)
    assert first.result(WAIT).waited - second.waited > 0.04
    assert first.result(WAIT).predicted == second.predicted > 0.01 and told == [2]
    queue.close(WAIT)


def test_requests_that_come_within_the_window_are_predicted_together():
    seen = threading.Event()

    def predict(requests):
        seen.set()
        return requests

    queue = PredictionQueue(predict, window=WAIT, sizes=(1, 2), max_waiting=8)
    first = queue.submit(1, "group", "a")
    assert not seen.wait(0.05)
    second = queue.submit(2, "group", "b")
    assert (first.result(WAIT).batch_size, second.result(WAIT).value) == (2, 2)
    queue.close(WAIT)


def test_a_request_that_is_cancelled_within_its_window_leaves_the_queue_as_it_was():
    queue = PredictionQueue(lambda requests: requests, window=WAIT, sizes=(1, 2), max_waiting=2)
    for i in range(2):
        future = queue.submit(i, "group", "a")
        time.sleep(0.05)  # its thread waits for others then
        assert future.cancel() and len(queue) == 0
    both = [queue.submit(request, "group", request) for request in ("b", "c")]  # there is a place for each
    assert [future.result(WAIT / 2).value for future in both] == ["b", "c"] and queue.is_working()
    queue.close(WAIT)


@pytest.mark.parametrize("error", [ValueError, KeyError, SystemExit])
def test_a_request_that_fails_in_any_way_fails_alone(error, queue):
    waiting, gate = queue()
    gate.error = error
    futures = [waiting.submit(request, 1, request) for request in ("a", "bad", "b")]
    gate.open.set()
    with pytest.raises(error, match="bad"):
        futures[1].result(WAIT)
    assert [futures[i].result(WAIT).value for i in (0, 2)] == ["aa", "bb"]
    assert waiting.submit("again", 1, "a").result(WAIT).value == "againagain"


def test_places_are_bounded_for_all_and_for_one_and_a_cancelled_request_is_not_predicted(queue):
    waiting, gate = queue(max_waiting=4)
    futures = [waiting.submit(i, 1, "greedy") for i in "ab"]
    with pytest.raises(ServerBusy, match="2 requests wait, 2 of them this client's"):
        waiting.submit("c", 1, "greedy")
    futures += [waiting.submit(i, 1, i) for i in "de"]
    with pytest.raises(ServerBusy, match="4 requests wait"):
        waiting.submit("f", 1, "f")
    assert futures[1].cancel()
    gate.open.set()
    assert futures[-1].result(WAIT).value == "ee" and gate.batches[1:] == [["a", "d", "e"]]


def test_what_waits_at_the_end_is_answered_and_what_comes_later_is_refused(queue):
    waiting, gate = queue(window=WAIT)
    future = waiting.submit("a", 1, "a")
    threading.Timer(0.05, gate.open.set).start()
    start = time.monotonic()
    waiting.close(WAIT)
    assert future.result(0).value == "aa" and time.monotonic() - start < WAIT / 2
    with pytest.raises(RequestRefused, match="stops"):
        waiting.submit("b", 1, "b")


def test_what_has_no_answer_when_the_time_to_end_is_over_is_refused_and_never_predicted(queue):
    waiting, gate = queue()
    futures = [waiting.submit(request, 1, request[0]) for request in ("a1", "a2", "b1")]
    waiting.close(0)
    for future in futures:
        with pytest.raises(RequestRefused, match="has stopped"):
            future.result(WAIT / 4)
    gate.open.set()
    waiting.thread.join(WAIT)
    assert gate.batches == [["first"]] and len(waiting) == 0 and not waiting.is_predicting


def test_where_not_all_sizes_of_batches_are_recorded_the_largest_that_is_waits_no_longer(queue):
    waiting, gate = queue(sizes=(1, 2, 4))
    futures = [waiting.submit(str(i), 1, str(i)) for i in range(7)]
    gate.open.set()
    assert futures[-1].result(WAIT).batch_size == 1
    assert [len(batch) for batch in gate.batches[1:]] == [4, 2, 1]


def test_only_a_batch_that_has_no_answer_yet_is_a_prediction_that_goes_on(queue):
    """The thread itself may live a moment longer than the queue: a process that waited for nobody would end for it."""
    waiting, gate = queue()
    waiting.close(0)
    assert waiting.is_predicting
    gate.open.set()
    waiting.thread.join(WAIT)
    assert not waiting.is_predicting
    for _ in range(20):
        idle = PredictionQueue(lambda requests: requests, window=0, sizes=(1,), max_waiting=4)
        idle.close(0)
        assert not idle.is_predicting
