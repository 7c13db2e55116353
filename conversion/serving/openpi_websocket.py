"""openpi's websocket policy protocol: facts first, then an observation in, a chunk of actions out, again and again.

Upstream: Physical-Intelligence/openpi, src/openpi/serving/websocket_policy_server.py. As there, binary frames are
msgpack, and a text frame is an error, on which the client raises. As there, the connection closes (1011) where the
server failed; where the observation was wrong it stays, so that the next one can be answered.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect

from ...configuration.vla_errors import InputError
from .client_observations import mapped, observation_of_openpi
from .client_presence import for_client
from .limits import Limits, image_array
from .msgpack_values import packed, unpacked_map
from .observation_map import ObservationMap
from .prediction_service import PredictionService, ServedModel
from .refusals import ClientGone, RequestRefused, described, status_of
from .served_policy import ServedPolicy

LOG = logging.getLogger("vlahub.serve")
FAILED, NO_SUCH_MODEL = 1011, 1008
REASON = "Internal server error. Its description is in the previous frame."


async def serve_openpi(service: PredictionService, socket: WebSocket, name: str | None) -> None:
    """One connection, to its end."""
    await socket.accept()
    request_id = socket.state.request_id
    frames = FramesAhead(socket)
    try:
        model = service.model(name)
        await socket.send_bytes(packed(model.facts()))
        number, previous = 0, None
        while (message := await frames.next()) is not None:
            number += 1
            start = time.monotonic()
            asked = Asked(message.get("bytes"), f"{request_id}-{number}", previous)
            if not await answered(service, model, socket, asked, frames.gone):
                return
            previous = time.monotonic() - start
    except WebSocketDisconnect:
        return
    except RequestRefused as error:  # no such model
        await socket.send_text(told(error, request_id))
        await socket.close(NO_SUCH_MODEL)
    finally:
        frames.close()


class FramesAhead:
    """The messages of a socket, which is read while the last one is answered, too.

    So a client that hangs up is noticed, and one that asks whether the server is alive is answered: while nobody reads
    a socket, its pings lie there as well.

    Attributes:
        gone: is done as soon as the client has hung up.
    """

    def __init__(self, socket: WebSocket):
        self.waiting: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
        self.gone = asyncio.ensure_future(self.read(socket))

    async def read(self, socket: WebSocket) -> None:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            await self.waiting.put(message)

    async def next(self) -> Any:
        """The next message; `None` after the last."""
        coming = asyncio.ensure_future(self.waiting.get())
        try:
            await asyncio.wait({coming, self.gone}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            coming.cancel()

    def close(self) -> None:
        self.gone.cancel()


@dataclass(frozen=True)
class Asked:
    """A frame. previous: seconds of the last answer."""

    frame: bytes | None
    request_id: str
    previous: float | None


async def answered(
    service: PredictionService, model: ServedModel, socket: WebSocket, asked: Asked, gone: "asyncio.Future[Any]"
) -> bool:
    """Answer one frame; whether the connection goes on. gone: done when the client has hung up."""
    start, status, seconds = time.monotonic(), 200, service.limits.timeout
    try:
        with service.place(model):
            found = await for_client(inferred(service, model, asked), gone, seconds, seconds)
            await socket.send_bytes(packed(found))
    except (WebSocketDisconnect, ClientGone):
        status = ClientGone().status
    except Exception as error:
        status = status_of(error)
        if status == 500:
            LOG.error("request %s failed", asked.request_id, exc_info=error)
        await socket.send_text(told(error, asked.request_id))
        if status == 500:
            await socket.close(FAILED, REASON)
    finally:
        service.metrics.add_request(model.name, "openpi", status, time.monotonic() - start)
    return status not in (500, ClientGone().status)


async def inferred(service: PredictionService, model: ServedModel, asked: Asked) -> dict[str, Any]:
    """What a frame is answered. Raises what `status_of` knows."""
    reading = asyncio.to_thread(read_frame, asked.frame, model.policy, service.limits, service.observation_map)
    prepared = await service.prepared(model, await reading)
    found = await service.predict(model, prepared, asked.request_id.rsplit("-", 1)[0])
    timing = {"infer_ms": (found.waited + found.predicted) * 1000}
    if asked.previous is not None:
        timing["prev_total_ms"] = asked.previous * 1000
    return {"actions": found.value, "server_timing": timing}


def read_frame(frame: bytes | None, policy: ServedPolicy, limits: Limits, by: ObservationMap | None) -> dict[str, Any]:
    """The observation of a binary frame. Raises InputError for one that cannot be read; the message names the key."""
    if frame is None:
        raise InputError("an observation is a binary frame of msgpack; this was a text frame.")

    if not policy.has_actions:
        raise InputError("this model drives, and has no actions of a robot: ask by POST /act.")

    def read(value: Any, where: str) -> np.ndarray:
        if not isinstance(value, np.ndarray):
            raise InputError(f"{where} is a {type(value).__name__}; an array is needed.")
        return image_array(value, where, limits)

    given = {key.decode() if isinstance(key, bytes) else key: value for key, value in unpacked_map(frame).items()}
    counted = limits.counting(read)
    return observation_of_openpi(given, policy, counted) if by is None else mapped(given, by, counted)


def told(error: Exception, request_id: str) -> str:
    """An error as one line of text."""
    said = described(error, request_id)["error"]
    return f"{said['type']}: {said['message']} (request {said['request_id']})"
