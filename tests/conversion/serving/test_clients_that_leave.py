"""Clients that hang up, wait too long, ask while the server stops, or ping it meanwhile: nobody else pays for them."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import websockets.exceptions
import websockets.sync.client
from running_server import WAIT, gated, scene

from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.msgpack_values import packed, unpacked_map


@pytest.fixture
def busy():
    """A server whose first policy is asked for 0, and waits."""
    with contextlib.ExitStack() as ends:
        pool = ends.enter_context(ThreadPoolExecutor(4))

        def start(*args, **options):
            running, *policies = gated(*args, **options)
            ends.callback(running.stop)
            ends.callback(lambda: [policy.gate.set() for policy in policies])
            first = pool.submit(ask, running, 0)
            assert policies[0].entered.acquire(timeout=WAIT)
            return running, *policies, first, pool

        yield start


def ask(running, state, path="/act", **more):
    return requests.post(running.url + path, json=scene(state, **more), timeout=WAIT)


def until(condition):
    """What comes to hold in another thread."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def connected(running, path="/"):
    connection = websockets.sync.client.connect(running.url.replace("http", "ws") + path, compression=None)
    unpacked_map(connection.recv(WAIT))
    return connection


def frame(state):
    return packed({"observation/image": np.zeros((2, 2, 3), np.uint8), "state": [state], "prompt": "wait"})


def asked_and_left(running, kind):
    """Ask for 1 by one protocol and hang up when it waits for the model."""
    if kind == "openpi":
        connection = connected(running)
        connection.send(frame(1))
        until(lambda: len(running.service.models["m"].queue) == 1)
        connection.close()
        return
    body = requests.Request("POST", running.url + "/act", json=scene(1, **({"session": "s"} if "s" in kind else {})))
    sent = body.prepare()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
        connection.sendall(f"POST /act HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode() + sent.body)
        until(lambda: len(running.service.models["m"].queue) == 1)


@pytest.mark.parametrize("kind", ["act", "act, session", "openpi"])
def test_what_a_client_asked_that_hung_up_is_not_predicted_and_its_place_is_free(kind, busy):
    running, policy, first, _ = busy()
    queue = running.service.models["m"].queue
    asked_and_left(running, kind)
    until(lambda: len(queue) == 0 and running.service.open == 1)
    policy.gate.set()
    assert first.result().json()["actions"] == [[0], [0]]
    assert ask(running, 2).json()["actions"] == [[2], [2]] and policy.asked == [[0], [2]]
    protocol = "openpi" if kind == "openpi" else "openvla"
    until(lambda: running.metrics[f'vlahub_requests_total{{model="m",protocol="{protocol}",status="499"}}'] == 1)


def test_a_client_that_hangs_up_within_its_body_is_no_failure(busy, caplog):
    running, *_ = busy()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /act HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n{{".encode())
        until(lambda: running.service.open == 2)
    until(lambda: running.service.open == 1)
    assert running.metrics['vlahub_requests_total{model="m",protocol="openvla",status="499"}'] == 1
    assert not caplog.records


def test_a_session_that_another_client_left_goes_on(busy):
    running, policy, *_ = busy(n_action_steps=2)
    asked_and_left(running, "act, session")
    until(lambda: running.service.open == 1)
    policy.gate.set()
    answers = [ask(running, state, session="s").json()["actions"] for state in (5, 6, 7)]
    assert answers == [[[5]], [[5]], [[7]]] and policy.asked == [[0], [5], [7]]


def test_pings_are_answered_while_a_prediction_waits_and_frames_in_turn(busy):
    running, policy, _, _ = busy()
    with connected(running) as connection:
        connection.send(frame(1))
        until(lambda: len(running.service.models["m"].queue) == 1)
        assert connection.ping().wait(WAIT)
        connection.send(frame(2))
        connection.send("a text")
        policy.gate.set()
        assert [unpacked_map(connection.recv(WAIT))["actions"][0, 0] for _ in range(2)] == [1, 2]
        assert "this was a text frame" in connection.recv(WAIT)


def test_the_time_of_a_request_counts_from_its_beginning_whatever_it_waits_for(busy):
    running, policy, first, pool = busy(Limits(timeout=1.0))
    late = [pool.submit(ask, running, 1, session="s") for _ in range(3)]  # each waits for its turn
    assert [each.result().status_code for each in (*late, first)] == [504] * 4
    seconds = [each.result().elapsed.total_seconds() for each in late]
    assert max(seconds) - min(seconds) < 1  # not one behind the other
    policy.gate.set()
    assert ask(running, 2).status_code == 200 and policy.asked == [[0], [2]]


def test_a_server_that_stops_answers_what_was_asked_by_both_protocols_and_takes_no_more(busy):
    running, policy, first, _ = busy()
    with connected(running) as connection, requests.Session() as session:
        assert session.get(running.url + "/healthz", timeout=WAIT).text == "OK\n"
        connection.send(frame(1))
        until(lambda: running.service.open == 2)
        running.server.should_exit = True
        until(lambda: running.service.is_stopping)
        assert session.get(running.url + "/healthz", timeout=WAIT).status_code == 503
        refused = session.post(running.url + "/act", json=scene(2), timeout=WAIT)
        assert refused.status_code == 503 and "the server stops" in refused.text
        policy.gate.set()
        assert first.result().json()["actions"] == [[0], [0]]
        assert unpacked_map(connection.recv(WAIT))["actions"].tolist() == [[1], [1]]
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            connection.recv(WAIT)
    running.thread.join(WAIT)
    assert not running.thread.is_alive() and policy.asked == [[0], [1]]


def test_a_second_signal_ends_at_once_whoever_waits(busy, caplog):
    running, policy, first, _ = busy()
    running.server.should_exit = True
    until(lambda: running.service.is_stopping)
    running.server.force_exit = True
    running.thread.join(WAIT)
    assert not running.thread.is_alive() and policy.asked == [[0]]
    assert first.result().status_code == 503 and not caplog.records


def test_two_models_are_not_predicted_at_the_same_time(busy):
    running, one, two, first, pool = busy(count=2)
    second = pool.submit(ask, running, 1, "/m1/act")
    until(lambda: running.service.open == 2)
    assert not two.entered.acquire(timeout=0.1)
    two.gate.set()
    one.gate.set()
    assert second.result().json()["actions"] == [[1], [1]] and first.result().ok
