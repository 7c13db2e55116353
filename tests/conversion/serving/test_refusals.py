"""What a client is told of an error: its own fault and how long to wait, and nothing of the machine."""

import pytest

from vlahub.conversion.serving.refusals import (
    INTERNAL,
    MAX_MESSAGE,
    ClientGone,
    RequestRefused,
    ServerBusy,
    described,
    status_of,
    told,
)
from vlahub.errors import ConversionError, InputError, NonFiniteError

ERRORS = [  # error, status, what is told
    (InputError("state has 3 values"), 400, ("InputError", "state has 3 values")),
    (RequestRefused("no such model", 404), 404, ("RequestRefused", "no such model")),
    (ServerBusy("64 wait"), 503, ("ServerBusy", "64 wait")),
    (ClientGone(), 499, ("ClientGone", "the client has hung up.")),
    (NonFiniteError("actions are nan"), 500, ("NonFiniteError", "actions are nan")),
    (ConversionError("/home/me/x cannot be read"), 500, ("InternalError", INTERNAL)),
    (OSError("/home/me/x"), 500, ("InternalError", INTERNAL)),
]


@pytest.mark.parametrize(("error", "status", "told"), ERRORS, ids=lambda value: type(value).__name__)
def test_a_client_is_told_what_it_can_mend(error, status, told):
    kind, message = told
    assert status_of(error) == status
    assert described(error, "17") == {"error": {"type": kind, "message": message, "request_id": "17"}}


def test_a_message_has_an_end_and_whole_characters():
    assert told("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE
    assert told("x" * (MAX_MESSAGE + 1)) == "x" * MAX_MESSAGE + "..."
    assert told("größer \ud800!") == "größer \\ud800!"
