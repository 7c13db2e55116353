"""Work for a client ends with the client, and with the time that is left, whichever comes first."""

import asyncio
import time

import pytest

from vlahub.conversion.serving.client_presence import for_client
from vlahub.conversion.serving.refusals import ClientGone, RequestRefused

LONG = 20.0


def answered(work, seconds=LONG, leaves_after=None):
    """What `for_client` gives, or raises, and the log of the work. leaves_after: seconds until the client hangs up."""
    log = []

    async def asked():
        loop = asyncio.get_running_loop()
        gone = loop.create_future()
        if leaves_after is not None:
            loop.call_later(leaves_after, gone.set_result, None)
        return await for_client(work(log), gone, seconds, allowed=LONG)

    start = time.monotonic()
    try:
        return asyncio.run(asked()), log
    except RequestRefused as error:
        return error, log
    finally:
        assert time.monotonic() - start < LONG / 2


async def endless(log):
    try:
        await asyncio.sleep(LONG)
    finally:
        log.append("left")


async def done(log):
    return 3


@pytest.mark.parametrize("seconds", [0.05, 0.0, -1.0])
def test_the_time_is_what_is_left_and_the_message_says_what_was_allowed(seconds):
    error, log = answered(endless, seconds)
    assert error.status == 504 and "within 20 seconds" in str(error) and log in ([], ["left"])


def test_a_client_that_hangs_up_ends_the_work_at_once():
    error, log = answered(endless, leaves_after=0.05)
    assert isinstance(error, ClientGone) and log == ["left"]


def test_an_answer_that_is_there_is_given():
    assert answered(done) == (3, [])


def test_what_the_work_raises_is_raised():
    async def fails(log):
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        answered(fails)
