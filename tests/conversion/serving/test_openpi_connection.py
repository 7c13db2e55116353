"""One connection of openpi's protocol, without a network: facts, answers in turn, what is wrong, and how it ends."""

import asyncio
from types import SimpleNamespace

import numpy as np

from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.msgpack_values import packed, unpacked_map
from vlahub.conversion.serving.observation_map import ObservationMap
from vlahub.conversion.serving.openpi_websocket import serve_openpi
from vlahub.conversion.serving.prediction_queue import Answer
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.errors import InputError

IMAGE = np.zeros((2, 3, 3), np.uint8)


class Policy:
    """Refuses the instruction "wrong", fails at "fails", and keeps what it is given."""

    has_actions, is_fast, view_names, num_views, state_dim, num_action_chunks = True, False, None, 1, None, 2

    def __init__(self):
        self.given = []

    def facts(self):
        return {"action_dim": 7}

    def prepared(self, given):
        self.given.append(given)
        if given["instruction"] == "wrong":
            raise InputError("the instruction is wrong.")
        if given["instruction"] == "fails":
            raise OSError("/secret/path")
        return SimpleNamespace(group=None, task=None, far=())


class Socket:
    """As starlette has it: a client that sends its next message once the last one was answered, and hangs up then."""

    def __init__(self, messages):
        self.messages, self.sent, self.closed = list(messages), [], None
        self.state, self.turn = SimpleNamespace(request_id="id-1"), asyncio.Event()

    async def accept(self):
        pass

    async def receive(self):
        await self.turn.wait()
        self.turn.clear()
        if not self.messages:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", **self.messages.pop(0)}

    async def send_bytes(self, data):
        self.sent.append(unpacked_map(data))
        self.turn.set()

    async def send_text(self, text):
        self.sent.append(text)
        self.turn.set()

    async def close(self, code, reason=None):
        self.closed = code


def frame(instruction="lift", images=1, **more):
    views = {f"observation/image_{i}": IMAGE for i in range(images)}
    return {"bytes": packed({**views, "prompt": instruction, **more})}


def connected(*messages, name=None, by=None):
    """The socket at its end, the policy, and lines that the server counted; predictions wait 0.25 s and take 0.5."""
    service, policy, clients = PredictionService(Limits(images=2), by), Policy(), []
    service.add("m", policy, Batching(), ActionSessions())

    async def predict(model, prepared, client):
        clients.append(client)
        assert service.open == 1  # it has its place
        await asyncio.sleep(0.02)
        return Answer(np.float32([[len(clients)]]), 1, 0.25, 0.5)

    service.predict = predict

    async def run():
        socket = Socket(messages)
        await asyncio.wait_for(serve_openpi(service, socket, name), 30)
        return socket

    socket = asyncio.run(run())
    service.close(5)
    counted = [line for line in service.metrics.text({}).splitlines() if line.startswith("vlahub_requests_total")]
    assert service.open == 0
    return SimpleNamespace(socket=socket, policy=policy, clients=clients, counted=counted)


def test_facts_come_first_then_an_answer_for_each_frame_with_its_times():
    found = connected(frame(), frame())
    facts, first, second = found.socket.sent
    assert facts["model"] == "m" and facts["action_dim"] == 7
    assert (first["actions"].tolist(), second["actions"].tolist()) == ([[1.0]], [[2.0]])
    assert first["server_timing"] == {"infer_ms": 750.0}
    assert second["server_timing"]["infer_ms"] == 750.0 and 15 < second["server_timing"]["prev_total_ms"] < 30_000
    assert found.clients == ["id-1", "id-1"] and found.socket.closed is None
    assert found.counted == ['vlahub_requests_total{model="m",protocol="openpi",status="200"} 2']


def test_what_is_wrong_with_a_frame_is_told_by_its_number_and_the_next_is_answered():
    no_array = packed({"observation/image": [1, 2], "prompt": "lift"})
    found = connected(frame("wrong"), {"text": "lift it"}, {"bytes": no_array}, frame(images=3), frame())
    _, wrong, text, value, many, answer = found.socket.sent
    assert wrong == "InputError: the instruction is wrong. (request id-1-1)"
    assert "this was a text frame" in text and text.endswith("(request id-1-2)")
    assert "an array is needed" in value and "at most 2 images" in many and many.endswith("(request id-1-4)")
    assert answer["actions"].tolist() == [[1.0]] and found.socket.closed is None
    assert found.counted == [
        'vlahub_requests_total{model="m",protocol="openpi",status="200"} 1',
        'vlahub_requests_total{model="m",protocol="openpi",status="400"} 4',
    ]


def test_where_the_server_fails_the_connection_ends_and_nothing_of_the_machine_is_told(caplog):
    found = connected(frame("fails"), frame())
    _, told = found.socket.sent
    assert told.startswith("InternalError") and "secret" not in told and found.socket.closed == 1011
    assert "request id-1-1 failed" in caplog.text and found.clients == []
    assert found.counted == ['vlahub_requests_total{model="m",protocol="openpi",status="500"} 1']


def test_a_model_that_there_is_not_is_named_and_closes_the_connection():
    found = connected(frame(), name="other")
    [told] = found.socket.sent
    assert "no model 'other' here" in told and "request id-1" in told and found.socket.closed == 1008


def test_a_map_says_which_key_is_what():
    by = ObservationMap(["cam"], (), "goal")
    given = connected({"bytes": packed({"cam": IMAGE, "goal": "lift", "other": 1})}, by=by).policy.given
    assert given[0]["instruction"] == "lift" and np.array_equal(given[0]["images"][0], IMAGE)


def test_a_model_that_drives_answers_no_robot(monkeypatch):
    monkeypatch.setattr(Policy, "has_actions", False)
    assert "has no actions of a robot" in connected(frame()).socket.sent[1]
