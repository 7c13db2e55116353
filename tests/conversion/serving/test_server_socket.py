"""The port of a server and its end: bound before it listens, with a token where others reach it, and left whole."""

import asyncio
import signal
import socket
import threading
from types import SimpleNamespace

import pytest
import uvicorn

from vlahub.conversion.serving import server as served
from vlahub.conversion.serving.limits import Limits
from vlahub.conversion.serving.server import (
    KEEP_ALIVE,
    SIGNALS,
    STOP_SECONDS,
    address_of,
    bound_socket,
    listen,
    make_server,
    run_server,
)
from vlahub.errors import ConversionError, InputError


def test_a_bound_socket_does_not_listen_until_it_is_asked_to_and_one_listens_alone():
    with bound_socket("127.0.0.1", 0, None) as first:
        port = first.getsockname()[1]
        assert address_of(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        with bound_socket("127.0.0.1", port, None) as second:
            listen(first)
            socket.create_connection(("127.0.0.1", port), 5).close()
            with pytest.raises(
                ConversionError, match=f"--host 127.0.0.1 --port {port} cannot be bound: Address already"
            ):
                listen(second)
        with pytest.raises(ConversionError, match="Address already in use; choose another"):
            bound_socket("127.0.0.1", port, None)


def test_an_address_that_others_reach_needs_a_token_whatever_its_name(monkeypatch):
    with pytest.raises(InputError, match=r"--host 0\.0\.0\.0: others than this machine may reach it"):
        bound_socket("0.0.0.0", 0, None)
    bound_socket("0.0.0.0", 0, "token").close()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("0.0.0.0", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(InputError, match="--host localhost: others"):
        bound_socket("localhost", 0, None)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 2**70), ("127.0.0.1", 70000), ("a" * 70 + ".b", 0), ("no.such.invalid", 0)]
)
def test_an_address_that_there_is_not_is_a_named_error(host, port):
    with pytest.raises(ConversionError, match=f"--host {host} --port {port} cannot be bound: .*choose another"):
        bound_socket(host, port, None)


def test_a_socket_that_cannot_be_bound_is_closed(monkeypatch):
    made = []

    class Socket(socket.socket):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

        def bind(self, address):
            raise KeyboardInterrupt

    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(KeyboardInterrupt):
        bound_socket("127.0.0.1", 0, None)
    assert [each.fileno() for each in made] == [-1]


def test_an_address_of_the_newer_kind_stands_in_brackets():
    bound = SimpleNamespace(getsockname=lambda: ("::1", 8777, 0, 0))
    assert address_of(bound) == "http://[::1]:8777"


class Service:
    """As much of a service as its server asks for."""

    limits = Limits(body=1234)
    models = {}
    is_stopping = False

    def __init__(self, open_requests=0):
        self.left, self.closed = open_requests, []

    @property
    def open(self):
        self.left -= 1
        return self.left >= 0

    def close(self, seconds):
        self.closed.append(seconds)


@pytest.fixture(autouse=True)
def apps(monkeypatch):
    """Of what applications were asked for, of which none is made."""
    given = []
    monkeypatch.setattr(served, "make_app", lambda *arguments: given.append(arguments))
    return given


def test_what_a_server_takes_is_what_the_limits_say(apps):
    config = make_server(service := Service(), "token").config
    assert apps == [(service, "token")]
    assert (config.ws_max_size, config.timeout_keep_alive) == (1234, KEEP_ALIVE)
    assert config.timeout_graceful_shutdown == STOP_SECONDS and not config.ws_per_message_deflate
    assert not config.server_header and not config.access_log and config.log_config is None


def test_signals_end_a_server_of_the_main_thread_and_are_anybodys_again_afterwards(monkeypatch):
    before = [signal.getsignal(number) for number in SIGNALS]
    server = make_server(Service())
    monkeypatch.setattr(server, "handle_exit", lambda *_: None)
    with server.capture_signals():
        assert [signal.getsignal(number) for number in SIGNALS] == [server.handle_exit] * 2
        found = []

        def in_another_thread():
            with server.capture_signals():
                found.append("no error")

        thread = threading.Thread(target=in_another_thread)
        thread.start()
        thread.join()
        assert found == ["no error"]
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("is_forced", [False, True])
def test_open_requests_are_waited_for_unless_a_second_signal_comes(is_forced, monkeypatch):
    ended, service = [], Service(open_requests=5)
    server = make_server(service)
    server.servers, server.force_exit = [SimpleNamespace(close=lambda: ended.append("closed"))], is_forced

    async def shutdown(self, sockets=None):
        ended.append((service.is_stopping, service.left))

    monkeypatch.setattr(uvicorn.Server, "shutdown", shutdown)
    asyncio.run(server.shutdown())
    assert ended == ["closed", (True, 4 if is_forced else -1)]


@pytest.mark.parametrize("is_forced", [False, True])
def test_the_service_ends_with_its_server_and_a_failed_start_is_named(is_forced, monkeypatch):
    service = Service()

    def run(self, sockets):
        self.force_exit = is_forced
        assert sockets == [bound]
        raise SystemExit(3)

    monkeypatch.setattr(served.Server, "run", run)
    refused = pytest.raises(ConversionError, match="the server could not start")
    with bound_socket("127.0.0.1", 0, None) as bound, refused:
        run_server(service, bound, None, lambda: None)
    assert service.closed == [0 if is_forced else STOP_SECONDS]


def test_it_is_said_to_be_ready_once_it_has_started(monkeypatch):
    said = []

    async def startup(self, sockets=None):
        said.append("started")

    monkeypatch.setattr(uvicorn.Server, "startup", startup)
    asyncio.run(make_server(Service(), ready=lambda: said.append("ready")).startup())
    assert said == ["started", "ready"]
