"""Work for a client: it ends with the client's connection, and with its time, and leaves nothing in a queue then."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from .refusals import ClientGone, RequestRefused

T = TypeVar("T")


async def for_client(work: Coroutine[Any, Any, T], gone: "asyncio.Future[Any]", seconds: float, allowed: float) -> T:
    """What the work gives.

    Args:
        work: is cancelled where nobody waits for it any longer.
        gone: is done as soon as the client has hung up.
        seconds: that are left of those that are allowed.
        allowed: seconds of a request, for the message.

    Raises:
        ClientGone: the client has hung up.
        RequestRefused: the time is over (504), or the server ends with requests open (503).
        whatever the work raises.
    """
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait({working, gone}, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    except asyncio.CancelledError as error:
        raise RequestRefused("the server has stopped.", 503) from error
    finally:
        working.cancel()
        await asyncio.wait({working})  # so that it has left its queue before anybody hears of it
        _ = working.cancelled() or working.exception()  # which nobody waits for any longer
    if gone.done():
        raise ClientGone
    raise RequestRefused(f"no answer within {allowed:g} seconds; ask again later.", 504)
