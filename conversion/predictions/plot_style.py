"""How pictures of predictions look: sizes, fonts, and colours that colour-blind readers tell apart.

Okabe and Ito, Color Universal Design, and the maps viridis and cividis of matplotlib.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..plots.picture_file import figure_class_of_matplotlib, metadata_for

WIDTH, DPI = 12.0, 100  # inches, and dots an inch: 1200 pixels
BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
MARKERS = ("o", "s", "^", "D", "v", "P")
BAND, GRID, TEXT, FAINT = "#DDE6EE", "#CCCCCC", "#111111", "#555555"
HEAT, STEPS = "viridis", "viridis"
TITLE, NOTE, LABEL, SMALL = 13, 10, 9.5, 8.5  # points
SETTINGS = {
    "axes.edgecolor": "#888888",
    "axes.labelsize": LABEL,
    "axes.linewidth": 0.8,
    "axes.titlesize": LABEL,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": LABEL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.color": TEXT,
    "text.parse_math": False,  # an instruction may hold a $
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}


@contextmanager
def drawn_figure(path: Path, mark: str, height: float) -> Iterator[Any]:
    """Inside the block a new figure of `height` inches, which is then written to `path` and cleared.

    The look is the same whatever settings of matplotlib a user has; the suffix names the format. mark: see `is_marked`.

    Raises:
        ConversionError: matplotlib is not installed.
    """
    figure_class = figure_class_of_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = figure_class(figsize=(WIDTH, height), dpi=DPI)
        yield figure
        figure.savefig(path, dpi=DPI, metadata=metadata_for(path, mark))
        figure.clear()


def height_of(area: Any) -> float:
    """Inches of a figure or a part of one."""
    return area.bbox.height / DPI


def width_of(area: Any) -> float:
    """See `height_of`."""
    return area.bbox.width / DPI


def axes_in(area: Any, rows: int, columns: int, margins: tuple[float, ...], gaps: tuple[float, float]) -> Any:
    """An array (rows, columns) of axes.

    margins: left, right, top and bottom in inches; gaps: between columns and between rows in inches.
    """
    width, height = width_of(area), height_of(area)
    left, right, top, bottom = margins
    cell = (width - left - right - gaps[0] * (columns - 1)) / columns
    cell_height = (height - top - bottom - gaps[1] * (rows - 1)) / rows
    places = {"left": left / width, "right": 1 - right / width, "top": 1 - top / height, "bottom": bottom / height}
    spaces = {"wspace": gaps[0] / cell, "hspace": gaps[1] / cell_height}
    return area.subplots(rows, columns, squeeze=False, gridspec_kw={**places, **spaces})
