"""The HTTP side of a server: OpenVLA's `POST /act`, what a server tells of itself, and one form of errors."""

import asyncio
import logging
import time
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .act_requests import Act, read_act
from .client_presence import for_client
from .limits import Limits
from .openapi_texts import DESCRIPTION, act_text
from .openpi_websocket import serve_openpi
from .prediction_service import PredictionService, ServedModel
from .refusals import ClientGone, RequestRefused, described, status_of
from .request_gate import RequestGate
from .server_metrics import CONTENT_TYPE

LOG = logging.getLogger("vlahub.serve")


def make_app(service: PredictionService, token: str | None = None) -> FastAPI:
    """The application of a service. token: that requests need; `None`: none do."""
    app = FastAPI(title="vlahub serve", version=version("vlahub"), description=DESCRIPTION)
    app.add_middleware(RequestGate, token=token)

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail}: {request.method} {request.url.path}"
        return error_response(request, RequestRefused(message, error.status_code))

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> Response:
        request_id = request.state.request_id  # whoever calls this logs the error
        return JSONResponse(described(error, request_id), 500, {"x-request-id": request_id})

    @app.head("/healthz", response_class=PlainTextResponse, include_in_schema=False)
    @app.get("/healthz", response_class=PlainTextResponse, summary="OK while requests are taken")
    async def healthz(response: Response) -> str:
        if service.is_working():
            return "OK\n"
        response.status_code = 503
        return "stopped\n"

    @app.get("/metadata", summary="What is served: models with views, state, actions, and the keys of statistics")
    async def metadata() -> dict[str, Any]:
        return {"models": [model.facts() for model in service.models.values()]}

    @app.get("/metrics", summary="Counts and times, for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(service.gauges()), media_type=CONTENT_TYPE)

    blanks = {model.name: model.policy.blank() for model in service.models.values()}
    first = dict([next(iter(blanks.items()))])

    @app.post("/act", openapi_extra=act_text(first), summary="An observation in, actions out")
    async def act(request: Request) -> Response:
        return await answer(service, request, None)

    @app.post("/{model}/act", openapi_extra=act_text(blanks), summary="The same, of a model by its name")
    async def act_of(request: Request, model: str) -> Response:
        return await answer(service, request, model)

    @app.websocket("/")
    async def openpi(socket: WebSocket) -> None:
        await serve_openpi(service, socket, None)

    @app.websocket("/{model}")
    async def openpi_of(socket: WebSocket, model: str) -> None:
        await serve_openpi(service, socket, model)

    return app


async def answer(service: PredictionService, request: Request, name: str | None) -> Response:
    """The response to `POST /act`, whatever happens."""
    start, status, label = time.monotonic(), 500, "unknown"
    try:
        model = service.model(name)
        label = model.name
        with service.place(model):
            response = await acted(service, model, request)
        status = 200
    except Exception as error:
        status = status_of(error)
        response = error_response(request, error)
    finally:
        service.metrics.add_request(label, "openvla", status, time.monotonic() - start)
    return response


async def acted(service: PredictionService, model: ServedModel, request: Request) -> Response:
    """Raises what `status_of` knows."""
    allowed, start = service.limits.timeout, time.monotonic()
    body = await whole_body(request, service.limits)
    act = await asyncio.to_thread(read_act, body, model.policy, service.limits, service.observation_map)
    del body  # megabytes, which would wait for the model as well
    gone = asyncio.ensure_future(hung_up(request))
    try:
        left = start + allowed - time.monotonic()
        return await for_client(responded(service, model, request, act), gone, left, allowed)
    finally:
        gone.cancel()


async def hung_up(request: Request) -> None:
    """Waits until the client of a request, whose body is read, hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def responded(service: PredictionService, model: ServedModel, request: Request, act: Act) -> Response:
    """Raises what `status_of` knows."""
    client = act.session or ":".join(map(str, request.client or ("unknown",)))
    prepared = await service.prepared(model, act.observation)
    said = {"model": model.name, "request_id": request.state.request_id}
    if act.session is None:
        found = await service.predict(model, prepared, client)
        said["server_timing"] = {"queue_ms": found.waited * 1000, "infer_ms": found.predicted * 1000}
        return JSONResponse(act.answer(found.value, said))

    async def predict() -> Any:
        return (await service.predict(model, prepared, client)).value

    action = await model.sessions.next_action(act.session, prepared.task, act.begins, predict)
    return JSONResponse(act.answer(action[None], said))


async def whole_body(request: Request, limits: Limits) -> bytes:
    """Raises RequestRefused where it is too long (413) or does not come (408), and ClientGone."""
    try:
        return await asyncio.wait_for(limited_body(request, limits.body), limits.timeout)
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise RequestRefused(f"the body did not come within {limits.timeout:g} seconds.", 408) from error
    except ClientDisconnect as error:
        raise ClientGone from error


async def limited_body(request: Request, most: int) -> bytes:
    """The whole body. Raises RequestRefused (413) as soon as it is known to be longer than `most` bytes."""
    message = f"the body is larger than {most} bytes: send smaller images, or fewer."
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise RequestRefused(message, 413)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise RequestRefused(message, 413)
    return bytes(body)


def error_response(request: Request, error: Exception) -> Response:
    """The one form of an error; what is not the caller's fault is logged with its traceback."""
    request_id, status = request.state.request_id, status_of(error)
    if status == 500:
        LOG.error("request %s failed", request_id, exc_info=error)
    response = JSONResponse(described(error, request_id), status)
    if status == 503:
        response.headers["retry-after"] = "1"
    return response
