"""What the HTTP side of a server does with one request, without a server: how much of it is read, and for whom."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.http_app import limited_body, responded
from vlahub.conversion.serving.refusals import RequestRefused


class Request:
    """As starlette has it, with the parts of a body that were taken."""

    def __init__(self, parts, length=None):
        self.parts, self.taken = parts, 0
        self.headers = {} if length is None else {"content-length": str(length)}
        self.client, self.state = ("10.0.0.1", 5000), SimpleNamespace(request_id="r")

    async def stream(self):
        for part in self.parts:
            self.taken += 1
            yield part


@pytest.mark.parametrize("length", [None, 10, "?"])
def test_a_body_of_as_many_bytes_as_are_allowed_is_read(length):
    assert asyncio.run(limited_body(Request([b"12345", b"", b"67890"], length), 10)) == b"1234567890"


@pytest.mark.parametrize(("length", "taken"), [(None, 3), (5, 3), (11, 0), (10**12, 0)])
def test_no_more_is_read_than_is_needed_to_refuse(length, taken):
    """A client may say nothing of the length, or too little."""
    request = Request([b"12345", b"67890", b"1", b"more", b"more"], length)
    with pytest.raises(RequestRefused, match="larger than 10 bytes") as error:
        asyncio.run(limited_body(request, 10))
    assert error.value.status == 413 and request.taken == taken


@pytest.mark.parametrize(("session", "client"), [(None, "10.0.0.1:5000"), ("left arm", "left arm")])
def test_whoever_waits_for_the_model_is_a_session_or_else_a_client(session, client):
    """Robots behind one address are served in turns."""
    asked = []

    async def prepared(model, observation):
        return SimpleNamespace(task="lift")

    async def predict(model, prepared, client):
        asked.append(client)
        return SimpleNamespace(value=np.zeros((2, 7)), waited=0.0, predicted=0.0)

    service = SimpleNamespace(prepared=prepared, predict=predict)
    model = SimpleNamespace(name="m", sessions=ActionSessions())
    act = SimpleNamespace(session=session, observation={}, begins=True, answer=lambda value, said: value.tolist())
    asyncio.run(responded(service, model, Request([]), act))
    assert asked == [client]
