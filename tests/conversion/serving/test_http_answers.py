"""The HTTP side of a server without a network: which model answers, in which form, and how what is wrong is told."""

import asyncio
import json
from types import SimpleNamespace

import numpy as np
import pytest

from vlahub.conversion.serving import http_app
from vlahub.conversion.serving.action_sessions import ActionSessions
from vlahub.conversion.serving.json_values import image_of
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.openapi_texts import as_json
from vlahub.conversion.serving.prediction_queue import Answer
from vlahub.conversion.serving.prediction_service import Batching, PredictionService
from vlahub.errors import InputError


class Policy:
    """Refuses the instruction "wrong", fails at "fails"."""

    has_actions, is_fast, view_names, num_views, state_dim, num_action_chunks = True, False, None, 1, None, 2

    def facts(self):
        return {"action_dim": 1}

    def blank(self):
        return {"images": [np.zeros((2, 2, 3), np.uint8)], "state": None, "instruction": "wait"}

    def prepared(self, given):
        if given["instruction"] == "wrong":
            raise InputError("the instruction is wrong.")
        if given["instruction"] == "fails":
            raise OSError("/secret/path")
        return SimpleNamespace(group=None, task=given["instruction"], far=())


@pytest.fixture
def service():
    """Two models; of the n-th prediction actions are 10 n and 10 n + 1, after 0.25 s of waiting and 0.5 s of work."""
    made, count = PredictionService(Limits(body=100_000, timeout=20.0)), []
    for name in ("m", "n"):
        made.add(name, Policy(), Batching(waiting=1), ActionSessions())

    async def predict(model, prepared, client):
        count.append(client)
        return Answer(np.float32([[10 * len(count)], [10 * len(count) + 1]]), 1, 0.25, 0.5)

    made.predict = predict
    yield made
    made.close(5)


def asked(service, path="/act", body=None, method="POST", token=None, messages=None, **headers):
    """Status, headers and content of the response; messages: of the client, else one with the body."""
    if messages is None:
        messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": named, "client": ("10.0.0.1", 5000), "server": ("localhost", 80), "scheme": "http"}
    scope |= {"http_version": "1.1", "root_path": ""}
    sent, left = [], list(messages)

    async def receive():
        if not left:
            await asyncio.sleep(60)  # the client is there, and says nothing
        return left.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(asyncio.wait_for(http_app.make_app(service, token)(scope, receive, send), 30))
    text = b"".join(message.get("body", b"") for message in sent[1:])
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    content = json.loads(text) if found["content-type"] == "application/json" else text.decode()
    return sent[0]["status"], found, content


def plain(instruction="lift", **more):
    return {"images": [], "instruction": instruction, **more}


def counted(service):
    lines = service.metrics.text({}).splitlines()
    return [line for line in lines if line.startswith("vlahub_requests_total")]


@pytest.mark.parametrize(("path", "name"), [("/act", "m"), ("/m/act", "m"), ("/n/act", "n")])
def test_the_model_of_the_path_answers_with_its_times(path, name, service):
    status, headers, found = asked(service, path, plain(), x_request_id="mine")
    assert status == 200 and headers["x-request-id"] == "mine"
    assert found == {
        "actions": [[10.0], [11.0]], "model": name, "request_id": "mine",
        "server_timing": {"queue_ms": 250.0, "infer_ms": 500.0},
    }  # fmt: skip
    assert counted(service) == [f'vlahub_requests_total{{model="{name}",protocol="openvla",status="200"}} 1']


@pytest.mark.parametrize(("path", "name"), [("/", None), ("/n", "n")])
def test_a_connection_is_with_the_model_of_its_path(path, name, service, monkeypatch):
    found = []

    async def serve_openpi(service, socket, name):
        found.append(name)

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        pass

    monkeypatch.setattr(http_app, "serve_openpi", serve_openpi)
    scope = {"type": "websocket", "path": path, "headers": [], "query_string": b"", "root_path": "", "subprotocols": []}
    asyncio.run(http_app.make_app(service)(scope, receive, send))
    assert found == [name]


def test_a_session_gets_one_action_at_a_time_until_it_begins_anew_or_has_another_task(service):
    calls = [plain(), plain(reset=True), plain("put"), plain("put")]
    answers = [asked(service, body=call | {"session": "a"})[2] for call in calls]
    assert [answer["actions"] for answer in answers] == [[[10.0]], [[20.0]], [[30.0]], [[31.0]]]
    assert "server_timing" not in answers[0] and answers[0]["model"] == "m"


def test_what_is_wrong_has_a_status_a_type_and_the_id_of_the_request(service, caplog):
    for path, body, status, said in (
        ("/act", plain("wrong"), 400, "the instruction is wrong."),
        ("/o/act", plain(), 404, "no model 'o' here; served are m, n"),
        ("/act", {"instruction": "x" * 100_000}, 413, "larger than 100000 bytes"),
        ("/nowhere", plain(), 404, "Not Found: POST /nowhere"),
    ):
        found, headers, content = asked(service, path, body, x_request_id="mine")
        assert (found, content["error"]["request_id"], headers["x-request-id"]) == (status, "mine", "mine")
        assert said in content["error"]["message"] and "retry-after" not in headers
    assert "failed" not in caplog.text
    status, _, content = asked(service, body=plain("fails"), x_request_id="mine")
    assert status == 500 and "secret" not in json.dumps(content) and "request mine failed" in caplog.text
    assert {line.split('status="')[1][:3] for line in counted(service)} == {"400", "404", "413", "500"}
    assert any('model="unknown"' in line and 'status="404"' in line for line in counted(service))


def test_a_full_server_says_when_to_ask_again_and_one_that_stops_is_not_well(service):
    assert asked(service, "/healthz", method="GET")[0] == 200
    service.open = 1
    status, headers, _ = asked(service, body=plain())
    assert status == 503 and headers["retry-after"] == "1"
    service.open = 0
    service.is_stopping = True
    assert asked(service, body=plain())[0] == 503
    assert asked(service, "/healthz", method="GET")[::2] == (503, "stopped\n")


def test_a_body_that_does_not_come_and_a_client_that_goes_within_it_are_told_apart(service):
    part = {"type": "http.request", "body": b"{", "more_body": True}
    service.limits = Limits(timeout=0.05)
    status, _, content = asked(service, messages=[part])
    assert status == 408 and "within 0.05 seconds" in content["error"]["message"]
    status, _, _ = asked(service, messages=[part, {"type": "http.disconnect"}])
    assert status == 499


def test_a_server_tells_of_all_its_models_and_asks_for_its_token(service):
    _, _, found = asked(service, "/metadata", method="GET")
    assert [model["model"] for model in found["models"]] == ["m", "n"]
    _, headers, text = asked(service, "/metrics", method="GET")
    assert "vlahub_queue_length" in text and "version=0.0.4" in headers["content-type"]
    assert asked(service, "/metadata", method="GET", token="secret")[0] == 401
    assert asked(service, "/metadata", method="GET", token="secret", authorization="Bearer secret")[0] == 200


def test_an_example_is_json_with_images_as_files_and_without_what_is_not_there():
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    found = as_json({"images": [image], "state": np.float64([0.5, 1.5]), "unnorm_key": None, "seed": 0})
    [text] = found.pop("images")
    assert found == {"state": [0.5, 1.5], "seed": 0}
    assert np.array_equal(image_of(text, "it", Limits()), image)


def test_the_page_of_a_server_shows_an_example_of_each_model_and_all_that_may_go_wrong(service):
    _, _, page = asked(service, "/openapi.json", method="GET")
    for path, names in {"/act": ["m"], "/{model}/act": ["m", "n"]}.items():
        about = page["paths"][path]["post"]
        content = about["requestBody"]["content"]["application/json"]
        assert list(content["examples"]) == names and about["requestBody"]["required"]
        value = content["examples"]["m"]["value"]
        assert set(value) == {"images", "instruction"} and value["images"][0].startswith("iVBOR")  # a PNG in base64
        assert {"200", "400", "401", "403", "404", "408", "413", "500", "503", "504"} <= set(about["responses"])
