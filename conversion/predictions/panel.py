"""One part of a picture: a title, a line that says how to read it, and what is drawn below."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .plot_style import FAINT, NOTE, TITLE, height_of, width_of

HEADING = 0.62  # inches of title and note


@dataclass(frozen=True)
class Panel:
    """Attributes:
    title, note: what is shown, and how to read it.
    height: in inches, with the title.
    draw: draws below the first `HEADING` inches of a part of a figure.
    """

    title: str
    note: str
    height: float
    draw: Callable[[Any], None]


def draw_panel(panel: Panel, area: Any) -> None:
    """area: a part of a figure, as high as the panel."""
    width, height = width_of(area), height_of(area)
    left = 0.3 / width
    area.text(left, 1 - 0.12 / height, panel.title, va="top", fontsize=TITLE, fontweight="bold")
    area.text(left, 1 - 0.38 / height, panel.note, va="top", fontsize=NOTE, color=FAINT)
    panel.draw(area)
