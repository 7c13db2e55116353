"""Why a request got no actions, beyond what is wrong with its observation (an InputError)."""

from ...configuration.vla_errors import InputError, NonFiniteError, VLAError

MAX_MESSAGE = 2000  # characters: a message may quote what a client sent
INTERNAL = "the prediction failed, and not by the request's fault; the server's log has it under this request id."


class RequestRefused(VLAError):
    """A request is not answered. status: of HTTP; the message says what to do."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class ServerBusy(RequestRefused):
    """As many requests wait as may; a client asks again in a moment."""

    def __init__(self, message: str):
        super().__init__(message, 503)


class ClientGone(RequestRefused):
    """The client has hung up: nobody gets this, but it is counted, as 499."""

    def __init__(self) -> None:
        super().__init__("the client has hung up.", 499)


def status_of(error: BaseException) -> int:
    """400: the caller's; of `RequestRefused` its own; else 500."""
    if isinstance(error, RequestRefused):
        return error.status
    return 400 if isinstance(error, InputError) else 500


def described(error: BaseException, request_id: str) -> dict[str, dict[str, str]]:
    """The one form of an error: `{"error": {"type": ..., "message": ..., "request_id": ...}}`.

    What failed here is not told to a client: its text may name files of this machine.
    """
    is_told = isinstance(error, (RequestRefused, InputError, NonFiniteError))
    kind, text = (type(error).__name__, str(error)) if is_told else ("InternalError", INTERNAL)
    return {"error": {"type": kind, "message": told(text), "request_id": request_id}}


def told(text: str) -> str:
    """A message that can be sent: not much longer than a page, and without halves of characters."""
    shown = text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."
    return shown.encode(errors="backslashreplace").decode()
