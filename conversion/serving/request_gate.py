"""What every request passes first: it has an id, the right token, and no web page of another host behind it."""

import hmac
import ipaddress
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from .refusals import RequestRefused, described

OPEN_PATHS = ("/healthz",)
KINDS = ("bearer", "api-key")  # the second is openpi's
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]


class RequestGate:
    """An ASGI application around another. token: that requests need; `None`: none do, and no web page may ask."""

    def __init__(self, app: Callable[..., Awaitable[None]], token: str | None = None):
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = scope.setdefault("state", {})["request_id"] = id_of(headers.get("x-request-id"))

        async def send_with_id(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        is_open = scope["type"] == "http" and scope["path"] in OPEN_PATHS
        refused = None if is_open else self.refused(headers)
        if refused is None:
            await self.app(scope, receive, send_with_id)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": str(refused)})  # HTTP 403, before it is open
        else:
            response = JSONResponse(described(refused, request_id), refused.status)
            if refused.status == 401:
                response.headers["www-authenticate"] = "Bearer"
            await response(scope, receive, send_with_id)

    def refused(self, headers: Headers) -> RequestRefused | None:
        """Why a request with these headers is not let in."""
        if self.token is None:
            origin = headers.get("origin")
            if origin is None or is_loopback(host_of(origin)):
                return None
            return RequestRefused(f"web pages of {origin!r:.80} may not ask a server without a token.", 403)
        given = headers.get("authorization", "")
        kind, _, token = given.partition(" ")
        if kind.lower() in KINDS and hmac.compare_digest(token.strip().encode(), self.token.encode()):
            return None
        return RequestRefused("this server needs a token: Authorization: Bearer TOKEN.", 401)


def id_of(given: str | None) -> str:
    """The client's id of a request, where it is one, or a new one."""
    return given if given and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def host_of(origin: str) -> str:
    """Of the page that a browser names; empty where it names none."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
