"""openpi's websocket policy protocol: facts first, then an observation in, a chunk of actions out, again and again.

Upstream: Physical-Intelligence/openpi, src/openpi/serving/websocket_policy_server.py. As there, binary frames are
msgpack, and a text frame is an error, on which the client raises. As there, the connection closes (1011) where the
server failed; where the observation was wrong it stays, so that the next one can be answered.
"""

import asyncio
import logging
import time
from typing import Any

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect

from ...configuration.vla_errors import InputError
from .client_observations import mapped, observation_of_openpi
from .limits import Limits, image_array
from .msgpack_values import packed, unpacked_map
from .observation_map import ObservationMap
from .prediction_service import PredictionService, ServedModel
from .refusals import described, status_of
from .served_policy import ServedPolicy

LOG = logging.getLogger("vlahub.serve")
FAILED, NO_SUCH_MODEL = 1011, 1008
REASON = "Internal server error. Its description is in the previous frame."


async def serve_openpi(service: PredictionService, socket: WebSocket, name: str | None) -> None:
    """One connection, to its end."""
    await socket.accept()
    request_id = socket.state.request_id
    try:
        model = service.model(name)
        await socket.send_bytes(packed(model.facts()))
        number, previous = 0, None
        while True:
            number += 1
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            start = time.monotonic()
            if not await answered(service, model, socket, message.get("bytes"), previous, f"{request_id}-{number}"):
                return
            previous = time.monotonic() - start
    except WebSocketDisconnect:
        return
    except Exception as error:  # no such model
        await socket.send_text(told(error, request_id))
        await socket.close(NO_SUCH_MODEL)


async def answered(
    service: PredictionService,
    model: ServedModel,
    socket: WebSocket,
    frame: bytes | None,
    previous: float | None,
    request_id: str,
) -> bool:
    """Answer one frame; whether the connection goes on. previous: seconds of the last answer."""
    start, status = time.monotonic(), 200
    try:
        with service.place(model):
            found = await inferred(service, model, frame, request_id)
        if previous is not None:
            found["server_timing"]["prev_total_ms"] = previous * 1000
        await socket.send_bytes(packed(found))
    except WebSocketDisconnect:
        return False
    except Exception as error:
        status = status_of(error)
        if status == 500:
            LOG.error("request %s failed", request_id, exc_info=error)
        await socket.send_text(told(error, request_id))
        if status == 500:
            await socket.close(FAILED, REASON)
    finally:
        service.metrics.add_request(model.name, "openpi", status, time.monotonic() - start)
    return status != 500


async def inferred(service: PredictionService, model: ServedModel, frame: bytes | None, client: str) -> dict[str, Any]:
    """What a frame is answered. Raises what `status_of` knows."""
    reading = asyncio.to_thread(read_frame, frame, model.policy, service.limits, service.observation_map)
    prepared = await service.prepared(model, await reading)
    found = await service.predict(model, prepared, client.rsplit("-", 1)[0])
    timing = {"infer_ms": (found.waited + found.predicted) * 1000}
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
