"""Sessions hand out one action at a time: of the chunk of their task, or as chunks that overlap weigh them."""

import asyncio
import time

import numpy as np
import pytest

from vlahub.conversion.serving import action_sessions
from vlahub.conversion.serving.action_sessions import ActionSessions, checked_session
from vlahub.errors import InputError

CHUNK = 4


class Chunks:
    """Predictions: of the n-th chunk the actions are 10 n, 10 n + 1, ..."""

    def __init__(self):
        self.count = 0

    async def predict(self):
        self.count += 1
        return 10.0 * self.count + np.arange(CHUNK, dtype=np.float32)[:, None]


def asked(sessions, chunks, *calls):
    """What the calls (session, task, begins) are answered, one behind the other."""

    async def run():
        return [float((await sessions.next_action(*call, chunks.predict))[0]) for call in calls]

    return asyncio.run(run())


def test_a_session_gets_one_action_after_the_other_and_begins_anew_with_a_task():
    sessions, chunks = ActionSessions(n_action_steps=3), Chunks()
    assert asked(sessions, chunks, *[("a", "lift", False)] * 5) == [10, 11, 12, 20, 21]
    assert asked(sessions, chunks, ("a", "put", False), ("a", "put", False)) == [30, 31]
    assert asked(sessions, chunks, ("a", "put", True), ("b", "put", False), ("a", "put", False)) == [40, 50, 41]
    assert asked(ActionSessions(), Chunks(), *[("a", "lift", False)] * 5) == [10, 11, 12, 13, 20]


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_chunks_that_have_an_action_for_a_step_are_weighed_the_oldest_first(factor):
    found = asked(ActionSessions(ensemble=factor), Chunks(), *[("a", "lift", False)] * 6)
    for step, action in enumerate(found):
        own = [10 * (start + 1) + step - start for start in range(step + 1) if step - start < CHUNK]
        weights = np.exp(-factor * np.arange(len(own)))
        assert action == pytest.approx(np.dot(own, weights) / weights.sum(), rel=1e-6)


@pytest.mark.parametrize("factor", [None, 0.01])
def test_an_action_is_as_precise_as_its_chunk(factor):
    sessions, chunks = ActionSessions(ensemble=factor), Chunks()
    action = asyncio.run(sessions.next_action("a", "lift", False, chunks.predict))
    assert action.dtype == np.float32 and action.shape == (1,)


def test_questions_of_one_session_at_a_time_get_one_action_each():
    sessions, chunks = ActionSessions(), Chunks()

    async def slow():
        await asyncio.sleep(0.01)
        return await chunks.predict()

    async def run():
        return await asyncio.gather(*(sessions.next_action("a", "lift", False, slow) for _ in range(3)))

    assert [float(action[0]) for action in asyncio.run(run())] == [10, 11, 12] and chunks.count == 1


def test_a_session_that_is_asked_again_and_again_goes_on_however_old_it_is(monkeypatch):
    sessions, chunks, found, start = ActionSessions(timeout=60), Chunks(), [], time.monotonic()
    for moment in (0, 50, 100, 161):
        monkeypatch.setattr(action_sessions.time, "monotonic", lambda moment=moment: start + moment)
        found += asked(sessions, chunks, ("a", "lift", False))
    assert found == [10, 11, 12, 20]


@pytest.mark.parametrize(
    ("name", "is_one"), [("a", True), ("ä" * 128, True), ("a" * 129, False), ("", False), (3, False)]
)
def test_a_name_of_a_session_is_a_text_of_some_length(name, is_one):
    if is_one:
        assert checked_session(name) == name
    else:
        with pytest.raises(InputError, match="a text of 1 to 128 characters"):
            checked_session(name)


def test_an_average_is_of_chunks_of_one_episode_and_one_task():
    sessions, chunks = ActionSessions(ensemble=0.5), Chunks()
    calls = [("a", "lift", False), ("a", "lift", False), ("a", "lift", True), ("a", "put", False)]
    first, second, *begun = asked(sessions, chunks, *calls)
    assert first == 10 and 11 < second < 20 and begun == [30, 40]


def test_of_too_many_sessions_the_one_that_was_asked_first_is_forgotten():
    sessions, chunks = ActionSessions(most=2), Chunks()
    asked(sessions, chunks, ("a", "", False), ("b", "", False), ("a", "", False), ("c", "", False))
    assert list(sessions.sessions) == ["a", "c"]


@pytest.mark.parametrize("waits", [False, True])
def test_a_session_is_forgotten_whatever_others_ask_meanwhile(waits):
    """The other one asked before it and was answered later, or still waits for its answer."""
    sessions, chunks = ActionSessions(timeout=60), Chunks()

    async def run():
        for name in ("slow", "quiet"):
            await sessions.next_action(name, "lift", False, chunks.predict)
        slow, quiet = sessions.sessions.values()
        quiet.asked -= 61
        if waits:
            slow.asked -= 61
            await slow.turn.acquire()
        return float((await sessions.next_action("quiet", "lift", False, chunks.predict))[0])

    assert asyncio.run(run()) == 30 and list(sessions.sessions) == ["slow", "quiet"]
