"""Pictures that commands write with matplotlib: which formats there are, and how one of ours is known again."""

from pathlib import Path

from ...configuration.vla_errors import ConversionError, InputError

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
        raise InputError(f"{path} has no suffix that pictures are written in; known are {', '.join(sorted(known))}.")


def figure_class_of_matplotlib() -> type:
    """matplotlib's `Figure`. Raises ConversionError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConversionError("plotting needs matplotlib: pip install 'vlahub[plot]'.") from error
    return Figure
