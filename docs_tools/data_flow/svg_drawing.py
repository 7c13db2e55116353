"""Boxes and arrows as an SVG of 1200 units across."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 1200
FONT = "Arial, Helvetica, 'DejaVu Sans', sans-serif"
TITLE, DETAIL, LABEL = 15, 13, 13  # sizes of letters
LINE = 18
FILLS = {"input": "#e8f1fb", "part": "#fff6e0", "note": "#f4f4f4", "output": "#e6f5e8"}
STROKES = {"input": "#2f6fb2", "part": "#b07d12", "note": "#888888", "output": "#2e8540"}
GLYPH = 0.56  # width of a letter in its size, on average and with a margin


@dataclass
class Box:
    """A part of a model, or what goes in and comes out.

    Attributes:
        x, y, width: of its left upper corner, and how wide; its height follows from its lines.
        kind: a key of `FILLS`.
    """

    x: int
    y: int
    width: int
    title: str
    lines: Sequence[str] = ()
    kind: str = "part"

    def __post_init__(self) -> None:
        for size, text in ((TITLE, self.title), *((DETAIL, line) for line in self.lines)):
            if len(text) * size * GLYPH > self.width:
                raise ValueError(f"{text!r} does not fit into a box {self.width} wide.")

    @property
    def height(self) -> int:
        return 16 + LINE * (1 + len(self.lines))

    def side(self, name: str, share: float) -> tuple[int, int]:
        """A point on an edge, `share` of the way from its left or upper end."""
        along = self.x + round(share * self.width), self.y + round(share * self.height)
        return {
            "top": (along[0], self.y),
            "bottom": (along[0], self.y + self.height),
            "left": (self.x, along[1]),
            "right": (self.x + self.width, along[1]),
        }[name]

    def svg(self) -> list[str]:
        middle = self.x + self.width // 2
        found = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="7" '
            f'fill="{FILLS[self.kind]}" stroke="{STROKES[self.kind]}" stroke-width="1.5"/>',
            text(middle, self.y + 23, self.title, TITLE, weight="bold"),
        ]
        rows = enumerate(self.lines, start=1)
        return found + [text(middle, self.y + 23 + LINE * row, line, DETAIL, fill="#333333") for row, line in rows]


@dataclass
class Arrow:
    """From an edge of a box to one of another, straight or by right angles.

    Attributes:
        label: lines beside it.
        sides, shares: the edges that it leaves and reaches, and where on them.
        bend: where it turns, as a share of the way; at: the label's middle, else that of the last
            stretch.
        dashed: what conditions, beside what is computed.
    """

    start: Box
    end: Box
    label: Sequence[str] = ()
    sides: tuple[str, str] = ("bottom", "top")
    shares: tuple[float, float] = (0.5, 0.5)
    bend: float = 0.5
    at: tuple[int, int] | None = None
    dashed: bool = False

    def points(self) -> list[tuple[int, int]]:
        first = self.start.side(self.sides[0], self.shares[0])
        last = self.end.side(self.sides[1], self.shares[1])
        upright = self.sides[0] in ("top", "bottom"), self.sides[1] in ("top", "bottom")
        if first[0] == last[0] or first[1] == last[1]:
            return [first, last]
        if upright == (True, True):
            turn = first[1] + round(self.bend * (last[1] - first[1]))
            return [first, (first[0], turn), (last[0], turn), last]
        if upright == (False, False):
            turn = first[0] + round(self.bend * (last[0] - first[0]))
            return [first, (turn, first[1]), (turn, last[1]), last]
        corner = (first[0], last[1]) if upright[0] else (last[0], first[1])
        return [first, corner, last]

    def svg(self) -> list[str]:
        points = self.points()
        path = " ".join(f"{x},{y}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if self.dashed else ""
        look = f'fill="none" stroke="#444444" stroke-width="1.5"{dash} marker-end="url(#tip)"'
        return [f'<polyline points="{path}" {look}/>']

    def label_svg(self) -> list[str]:
        """Drawn over all lines, on white."""
        if not self.label:
            return []
        before, behind = self.points()[-2:]
        x, y = self.at or ((before[0] + behind[0]) // 2, (before[1] + behind[1]) // 2)
        wide = round(max(len(line) for line in self.label) * LABEL * GLYPH)
        high = LINE * len(self.label)
        top = y - high // 2
        ground = f'<rect x="{x - wide // 2}" y="{top}" width="{wide}" height="{high}" fill="#ffffff"/>'
        rows = enumerate(self.label)
        return [ground] + [text(x, top + 14 + LINE * row, line, LABEL, fill="#7a1f5c") for row, line in rows]


@dataclass
class Drawing:
    """A picture: a heading, boxes, arrows."""

    title: str
    subtitle: str
    height: int
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def box(self, *args, **kwargs) -> Box:
        self.boxes.append(Box(*args, **kwargs))
        return self.boxes[-1]

    def arrow(self, *args, **kwargs) -> None:
        self.arrows.append(Arrow(*args, **kwargs))

    def svg(self) -> str:
        parts = [line for kind in (self.arrows, self.boxes) for each in kind for line in each.svg()]
        parts += [line for arrow in self.arrows for line in arrow.label_svg()]
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
            f'height="{self.height}" font-family="{FONT}" role="img">'
        )
        tip = (
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="#444444"/></marker></defs>'
        )
        frame = f'<rect width="{WIDTH}" height="{self.height}" fill="#ffffff"/>'
        heading = [
            text(WIDTH // 2, 32, self.title, 20, weight="bold"),
            text(WIDTH // 2, 56, self.subtitle, 14, fill="#333333"),
        ]
        return "\n".join([head, f"<title>{escape(self.title)}</title>", tip, frame, *heading, *parts, "</svg>"]) + "\n"


def text(x: int, y: int, words: str, size: int, weight: str = "", fill: str = "#111111") -> str:
    """A line of text around x."""
    more = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle" fill="{fill}"{more}>{escape(words)}</text>'


def shape(size: Sequence[int]) -> str:
    """`1 x 128 x 4096`, with the sign for times."""
    return " \u00d7 ".join(str(n) for n in size)
