"""A service behind a port: bound before weights are read, stopped by a signal when what waits is answered."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from ...configuration.vla_errors import ConversionError, InputError
from .http_app import make_app
from .prediction_service import PredictionService
from .request_gate import is_loopback

STOP_SECONDS = 10  # that connections have to close, and a prediction that nobody waits for to end
KEEP_ALIVE = 75  # seconds that a connection may rest: longer than a robot takes for a chunk
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def bound_socket(host: str, port: int, token: str | None) -> socket.socket:
    """A socket at an address, which does not listen yet: clients are refused until the models are there.

    Raises:
        InputError: others than this machine reach the address, and there is no token.
        ConversionError: it cannot be bound.
    """
    with naming_address(host, port):
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if token is None and not is_loopback(address[0]):  # the address itself: a name may be anybody's
            raise InputError(
                f"--host {host}: others than this machine may reach it, and there is no token; give --token-file FILE, "
                "or leave --host out for 127.0.0.1."
            )
        bound = socket.socket(family, kind)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address[0], port, *address[2:]))  # getaddrinfo makes 4464 of 70000
        except BaseException:
            bound.close()
            raise
    return bound


def listen(bound: socket.socket) -> None:
    """Raises ConversionError where another server, which was bound at the same time, listens there by now."""
    with naming_address(*bound.getsockname()[:2]):
        bound.listen()


@contextlib.contextmanager
def naming_address(host: str, port: int) -> Iterator[None]:
    """Raises ConversionError for what the system says of an address."""
    try:
        yield
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConversionError(f"--host {host} --port {port} cannot be bound: {reason}; choose another.") from error


def address_of(bound: socket.socket) -> str:
    """Where clients find a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn's, which ends on SIGINT and SIGTERM, and leaves the process to whoever runs it.

    Its own raises the signal once more at its end, so that a clean stop would look like a crash, and closes websockets
    at once, whoever waits for an answer there.
    """

    def __init__(self, config: uvicorn.Config, service: PredictionService, ready: Callable[[], None]):
        super().__init__(config)
        self.service, self.ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No new requests, answers to those that are there (or 504), and the end; a second signal ends it at once."""
        self.service.is_stopping = True
        for server in self.servers:
            server.close()
        while self.service.open and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(
    service: PredictionService, token: str | None = None, ready: Callable[[], None] = lambda: None
) -> Server:
    """A server that `run(sockets=[...])` starts. ready: is called when requests are answered and signals end it."""
    config = uvicorn.Config(
        make_app(service, token),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        ws_max_size=service.limits.body,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config, service, ready)


def run_server(service: PredictionService, bound: socket.socket, token: str | None, ready: Callable[[], None]) -> None:
    """Serve until a signal; then no new requests, answers to those that are there, and the end.

    Args:
        ready: see `make_server`.

    Raises:
        ConversionError: another server, which was bound at the same time, listens there by now.
    """
    server = make_server(service, token, ready)
    listen(bound)
    try:
        server.run(sockets=[bound])
    except SystemExit as error:
        raise ConversionError("the server could not start; its log says why.") from error
    finally:
        service.close(0 if server.force_exit else STOP_SECONDS)
