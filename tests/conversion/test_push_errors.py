"""What the Hub's client raises becomes one error that says what to do; where it comes from does not matter."""

from types import SimpleNamespace

import pytest

from vlahub.conversion.publishing.push_checkpoint import explained
from vlahub.errors import ConversionError


class Answered(OSError):
    """An error of the client's that has the server's answer."""

    def __init__(self, status):
        super().__init__(f"{status}, said the server.")
        self.response = SimpleNamespace(status_code=status)


ERRORS = {
    "401": (Answered(401), r"does not permit this to me/mine: 401, said the server\. You may need to log in"),
    "403": (Answered(403), "does not permit this to me/mine: 403, said the server"),
    "500": (Answered(500), r"refused the upload to me/mine: 500, said the server\."),
    "metadata": (ValueError("Invalid\nmetadata"), r"refused the upload to me/mine: Invalid metadata\."),
    "connection": (ConnectionError("cut off"), r"did not end: cut off\. It changed nothing yet: run it again\."),
    "nameless": (TimeoutError(), r"did not end: TimeoutError\."),
}


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["as it is", "around a file"])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_told_by_its_cause(name, is_wrapped):
    error, said = ERRORS[name]
    with pytest.raises(ConversionError, match=said) as found, explained("me/mine"):
        if is_wrapped:
            raise RuntimeError("Error while uploading 'model.safetensors'") from error
        raise error
    assert "\n" not in str(found.value)


def test_what_is_wrong_with_a_file_here_is_not_said_of_the_hub(tmp_path):
    with pytest.raises(FileNotFoundError), explained("me/mine"):
        (tmp_path / "missing").read_bytes()


def test_what_is_refused_here_is_not_said_of_the_hub_either():
    with pytest.raises(ConversionError) as found, explained("me/mine"):
        raise ConversionError("there is no token")
    assert str(found.value) == "there is no token"
