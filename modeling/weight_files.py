"""Files of weights in safetensors, opened; the error of a broken one names it and says what is wrong."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..configuration.vla_errors import CheckpointError

POINTER = b"version https://git-lfs"


def opened_weights(path: Path) -> Any:
    """The file as `safe_open` gives it; nothing but its header is read.

    Raises:
        CheckpointError: it is missing, cut off, damaged, or a pointer of git-lfs.
    """
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing, which the index of the weights names: fetch it again.") from error
    except SafetensorError as error:
        with path.open("rb") as file:
            is_pointer = file.read(len(POINTER)) == POINTER
        if is_pointer:
            what = "is a pointer of git-lfs and no weights: run `git lfs pull` in its folder"
        else:
            what = f"is cut off or damaged at {path.stat().st_size} bytes ({error}); fetch the file again"
        raise CheckpointError(f"{path} {what}.") from error
