"""Whom a server lets in: by token, or without one nobody's web page; and the id that each request has."""

import asyncio
import json

import pytest

from vlahub.conversion.serving.request_gate import RequestGate

LOOPBACK = ("http://localhost:3000", "http://127.0.0.1", "https://127.0.0.2:8443", "http://[::1]:80")
PAGES = ("https://example.org", "null", "http://[broken", "http://192.168.0.5", "http://localhost.example.org", "")
TOKEN = "secret"


def asked(token=None, kind="http", path="/act", **headers):
    """Whether the application was reached, its scope, and all that was sent."""
    sent, reached = [], []
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "path": path, "headers": named}

    async def app(scope, receive, send):
        reached.append(scope)
        await send({"type": f"{kind}.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": f"{kind}.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(RequestGate(app, token)(scope, receive, send))
    return bool(reached), scope, sent


def refusal(sent):
    """Status, headers and error of a response."""
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, json.loads(body["body"])["error"]


@pytest.mark.parametrize("origin", LOOPBACK)
def test_a_page_of_this_machine_may_ask_a_server_without_a_token(origin):
    assert asked()[0] and asked(origin=origin)[0]


@pytest.mark.parametrize("origin", PAGES)
def test_a_page_of_elsewhere_may_not(origin):
    reached, _, sent = asked(origin=origin)
    status, headers, error = refusal(sent)
    assert not reached and status == 403 and "www-authenticate" not in headers
    assert repr(origin) in error["message"]


@pytest.mark.parametrize("given", ["Bearer secret", "bearer secret", "Api-Key secret", "Bearer  secret "])
def test_a_token_lets_in_whatever_page_asks(given):
    assert asked(TOKEN, authorization=given)[0] and asked(TOKEN, authorization=given, origin=PAGES[0])[0]


@pytest.mark.parametrize(
    "given", [None, "", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"]
)
def test_without_the_token_nobody_comes_in_and_is_told_so(given):
    headers = {} if given is None else {"authorization": given}
    for more in ({}, {"path": "/metrics"}, {"origin": LOOPBACK[0]}):
        reached, _, sent = asked(TOKEN, **headers, **more)
        status, said, _ = refusal(sent)
        assert not reached and status == 401 and said["www-authenticate"] == "Bearer"
    reached, _, sent = asked(TOKEN, "websocket", **headers)
    assert not reached and [(each["type"], each["code"]) for each in sent] == [("websocket.close", 1008)]


def test_whether_a_server_lives_anybody_may_ask_and_what_is_no_request_passes():
    assert asked(TOKEN, path="/healthz")[0] and asked(path="/healthz", origin=PAGES[0])[0]
    assert not asked(TOKEN, "websocket", "/healthz")[0]  # that would be a model of this name
    assert asked(TOKEN, "lifespan")[0]


@pytest.mark.parametrize("given", [None, "", "a b", "a" * 129, "a\nb", "ä", "mine-1"])
def test_an_id_of_the_client_stays_and_what_is_none_is_replaced(given):
    headers = {} if given is None else {"x_request_id": given}
    for token in (None, TOKEN):  # let in, and refused
        _, scope, sent = asked(token, **headers)
        found = scope["state"]["request_id"]
        assert (found == given) is (given == "mine-1") and found.isascii() and found.isprintable() and " " not in found
        said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert said["x-request-id"] == found
        if token:
            assert refusal(sent)[2]["request_id"] == found
