"""The reasoning of each trajectory beside the picture of them all: the same numbers and colours, wrapped, cut."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..plots.look import GREY, shortened, words
from .drawn_samples import Group, joined

if TYPE_CHECKING:  # an extra
    from matplotlib.figure import Figure

CHARACTERS = 78  # of a line
SIZE = 8.3  # points, of a font with one width for all characters: 78 of them are 5.4 inches
LINE = 0.158  # inches
HEADING = 0.36  # inches, of the column
LINES = ((3, 8), (6, 5), (10, 3), (16, 2))  # up to so many texts have so many lines each
BESIDE = 28  # characters of numbers that leave room for distances beside them
EMPTY = "(no text)"
FLAG = "ended without opening its trajectory"


@dataclass(frozen=True)
class Entry:
    """One text: its numbers with their colour, distances in grey, a flag, and its lines."""

    labels: str
    colour: str
    remark: str
    flag: str
    lines: list[str]

    @property
    def is_short(self) -> bool:
        """Whether the remark has room behind the numbers."""
        return len(self.labels) <= BESIDE

    @property
    def height(self) -> float:
        """In lines."""
        return 1.8 + len(self.lines) + bool(self.flag) + bool(self.remark and not self.is_short)


@dataclass(frozen=True)
class Texts:
    """The column of texts; `more`: how many samples have none."""

    entries: list[Entry]
    more: str

    @property
    def height(self) -> float:
        """Inches."""
        return HEADING + LINE * (sum(entry.height for entry in self.entries) + (2 if self.more else 0))


def lay_out(groups: Sequence[Group], count: int, has_reference: bool) -> Texts:
    """Wrap the texts.

    Args:
        count: of all samples; those without a number are counted below the texts.
        has_reference: whether distances from the recorded path are known.
    """
    most = next(lines for texts, lines in LINES if len(groups) <= texts)
    numbered = sum(len(group.samples) for group in groups)
    entries = [
        Entry(
            labels=shortened(group.labels, 60),
            colour=group.style["color"],
            remark=distances(group) if has_reference else "",
            flag=flag(group),
            lines=wrapped(group.text, most),
        )
        for group in groups
    ]
    return Texts(entries, f"… and {count - numbered} more samples, drawn in grey" if count > numbered else "")


def distances(group: Group) -> str:
    """ADE and FDE of its samples: one number, or from the least to the greatest."""
    parts = []
    for name in ("ade", "fde"):
        found = sorted(getattr(sample, name) for sample in group.samples)
        ends = [f"{found[0]:.2f}"] + ([f"{found[-1]:.2f}"] if len(found) > 1 else [])
        parts.append(f"{name.upper()} {' to '.join(ends)} m")
    return ", ".join(parts)


def flag(group: Group) -> str:
    """Which of its samples have a trajectory that their text did not announce."""
    silent = [sample.label for sample in group.samples if not sample.started]
    if not silent:
        return ""
    return f"! {'' if len(group.samples) == 1 else shortened(joined(silent), 30) + ' '}{FLAG}"


def wrapped(text: str, lines: int) -> list[str]:
    """At most so many lines, the last one with an ellipsis where there is more."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(printable, CHARACTERS, max_lines=lines, placeholder=" …") or [EMPTY]


def write_texts(figure: "Figure", texts: Texts, left: float, top: float) -> None:
    """Draw the column at so many inches from the left and the top of the figure."""
    words(figure, left, top, "Reasoning of each trajectory", fontsize=11, fontweight="bold")
    top += HEADING
    for entry in texts.entries:
        write_entry(figure, entry, left, top)
        top += LINE * entry.height
    if texts.more:
        words(figure, left, top + 0.5 * LINE, texts.more, fontsize=9, color=GREY)


def write_entry(figure: "Figure", entry: Entry, left: float, top: float) -> None:
    number = words(figure, left, top - 0.01, entry.labels, fontsize=10, fontweight="bold", color=entry.colour)
    if entry.remark and entry.is_short:
        words(figure, number.get_window_extent().x1 / figure.dpi + 0.12, top, entry.remark, fontsize=9, color=GREY)
    top += 1.15 * LINE
    if entry.remark and not entry.is_short:
        words(figure, left, top, entry.remark, fontsize=9, color=GREY)
        top += LINE
    if entry.flag:
        words(figure, left, top, entry.flag, fontsize=9, fontweight="bold")
        top += LINE
    for line in entry.lines:
        words(figure, left, top, line, fontsize=SIZE, family="DejaVu Sans Mono")
        top += LINE
