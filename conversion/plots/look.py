"""How the pictures of vlahub look: sizes, colours, styles. Figures are matplotlib's objects, without pyplot's state.

A picture is 12 inches wide: shown 1200 pixels wide, its smallest text is 11 pixels high. Sizes of parts are in inches,
so that nothing depends on the lengths of labels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
WIDTH = 12.0  # inches
PIXELS = 150  # to an inch
SMALL = 8.5  # points

# Okabe and Ito, Color universal design (2008): told apart with any of the common colour deficiencies.
BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE)
DARK, GREY, LIGHT = "#1A1A1A", "#767676", "#C4C4C4"
DASHES = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)))

RECORDED: dict[str, Any] = {"color": DARK, "linewidth": 2.0}
PREDICTED: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.1}

LOOK = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.labelcolor": DARK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": DARK,
    "ytick.labelcolor": DARK,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "text.parse_math": False,  # names and texts may hold dollars
    "figure.dpi": PIXELS,
    "savefig.dpi": "figure",
}


@contextmanager
def our_look() -> Iterator[None]:
    """matplotlib's own defaults with `LOOK`, whatever the user's settings are; those are back afterwards."""
    from matplotlib import style

    with style.context(["default", LOOK]):
        yield


def in_our_look(draw: "Callable[P, Figure]") -> "Callable[P, Figure]":
    """Of a function that draws a figure."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        with our_look():
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float, title: str) -> "Figure":
    """An empty figure, `WIDTH` by `height` inches, with the title at its top: 0.5 inches are its."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    title = shortened(title, 120)
    figure.text(0.25 / WIDTH, 1 - 0.17 / height, title, fontsize=12, fontweight="bold", color=DARK, va="top")
    return figure


def place(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes at so many inches from the left and the top of a figure."""
    full_width, full_height = figure.get_size_inches()
    box = left / full_width, 1 - (top + height) / full_height, width / full_width, height / full_height
    return figure.add_axes(box)


def words(figure: "Figure", left: float, top: float, text: str, **style: Any) -> Any:
    """A text whose upper left corner is at so many inches from the left and the top of a figure."""
    width, height = figure.get_size_inches()
    return figure.text(left / width, 1 - top / height, text, **{"va": "top", "color": DARK, **style})


def shortened(text: str, characters: int) -> str:
    """The text, cut with an ellipsis in its middle where it is longer: both ends of a name tell it from others."""
    if len(text) <= characters:
        return text
    end = (characters - 1) // 2
    return f"{text[: characters - 1 - end]}…{text[-end:]}"


def few_ticks(axis: Any, count: int = 4, whole: bool = False) -> None:
    """At most so many ticks, with as many digits as tell them apart and no factor beside the axis.

    whole: at whole numbers.
    """
    from matplotlib.ticker import Formatter, MaxNLocator

    class Plain(Formatter):
        def __call__(self, value: float, pos: int | None = None) -> str:
            return f"{value:.4g}"

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            return tick_texts(values)

    axis.set_major_locator(MaxNLocator(count, min_n_ticks=1 if whole else 2, integer=whole))
    axis.set_major_formatter(Plain())


def tick_texts(values: Sequence[float]) -> list[str]:
    """Numbers as short as they can be told apart."""
    places = np.asarray(values, dtype=float)
    if len(places) < 2:
        return [f"{value:.4g}" for value in places]
    step = np.abs(np.diff(places)).min()
    places = np.where(np.abs(places) < step * 1e-6, 0.0, places)  # zero, but for rounding
    largest = np.abs(places).max()
    digits = int(np.ceil(np.log10(max(largest / step, 1.0)))) + 2 if step else 4
    return [f"{value:.{digits}g}".replace("e+0", "e").replace("e-0", "e-") for value in places]


def counted(number: int, name: str) -> str:
    """`1 episode`, `2 episodes`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
