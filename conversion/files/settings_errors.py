"""Settings of other files that cannot be what they should: whatever they hit, the error names where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...configuration.vla_errors import ConversionError, VLAError


@contextmanager
def reading_settings(*folders: Path) -> Iterator[None]:
    """Turn what configs, processors and tokenizers raise on a value of the wrong kind into one error.

    They raise it as it comes: StrictDataclassFieldValidationError, TypeError, KeyError, RuntimeError, ... Errors of the
    system, such as a full disk, pass as they are.

    Raises:
        ConversionError: names the folders, and what was raised.
    """
    try:
        yield
    except (VLAError, MemoryError):
        raise
    except OSError as error:
        if error.strerror:
            raise
        raise ConversionError(cannot_be_used(folders, error)) from error
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's
            raise
        raise ConversionError(cannot_be_used(folders, error)) from error


def cannot_be_used(folders: tuple[Path, ...], error: Exception) -> str:
    where = " and in ".join(str(folder) for folder in folders)
    return f"a setting in {where} cannot be used: {type(error).__name__}: {one_line(error)}"


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
