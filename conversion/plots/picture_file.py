"""The files that pictures are written to: which formats there are, what is refused early, how one of ours is known."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ...configuration.vla_errors import ConversionError, InputError
from .look import our_look

if TYPE_CHECKING:  # an extra
    from matplotlib.figure import Figure

PREDICTION_MARK = "vlahub predict"


def metadata_for(path: Path, mark: str) -> dict[str, str] | None:
    """Text inside the picture by which `is_marked` knows it again, where the format has a place for it."""
    fields = {".png": "Software", ".svg": "Creator", ".pdf": "Creator", ".ps": "Creator", ".eps": "Creator"}
    field = fields.get(path.suffix.lower())
    return {field: mark} if field else None


def is_marked(path: Path, mark: str) -> bool:
    """Whether a file is a picture of ours."""
    return metadata_for(path, mark) is not None and mark.encode() in path.read_bytes()


def check_picture_format(path: Path) -> None:
    """Refuse a suffix that matplotlib cannot write.

    Raises:
        InputError: the message names what it can.
        ConversionError: matplotlib is not installed.
    """
    known = figure_class_of_matplotlib()().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in known:
        raise InputError(
            f"{path} has no suffix that pictures are written in: name it {path.stem or 'out'}.png; known are "
            f"{', '.join(sorted(known))}."
        )


def check_picture(path: Path) -> None:
    """Refuse a place where no picture can be written, before anything is computed.

    Raises:
        InputError: the suffix is none of a picture, or the folder is missing.
        ConversionError: matplotlib is not installed.
    """
    check_picture_format(path)
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}; make it first.")


def figure_class_of_matplotlib() -> type:
    """matplotlib's `Figure`. Raises ConversionError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConversionError("plotting needs matplotlib: pip install 'vlahub[plot]'.") from error
    return Figure


def save(figure: "Figure", path: Path, mark: str) -> None:
    """Write a picture; the suffix names the format.

    mark: by which the file is known again, such as "vlahub predict".
    """
    with our_look(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a font has not every character that a text may hold
        figure.savefig(path, metadata=metadata_for(path, mark))
