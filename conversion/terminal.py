"""What commands show: tables as data, drawn by rich where a person looks and as plain aligned columns elsewhere.

Results go to stdout; bars, messages and warnings to stderr. Nothing here is slow to import.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from threading import Event, Thread
from typing import IO, Any

WAIT = 2.0  # seconds before a bar appears
FOLDED_WIDTH = 16  # of a column whose texts are broken into lines, at least


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its heading.
        right: aligned to the right, as numbers are.
        width: in plain lines, at least.
        before: in plain lines, what stands between it and the column before.
        ragged: in plain lines, every text is as wide as it is.
        folds: may be broken into several lines where a terminal is narrow; others are always whole.
    """

    name: str
    right: bool = False
    width: int = 0
    before: str = " "
    ragged: bool = False
    folds: bool = False


@dataclass(frozen=True)
class Table:
    """Texts in rows.

    Attributes:
        rows: a text for each column.
        title: a line above it.
        header: whether plain lines begin with the names of the columns; a drawn table always has them.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    header: bool = True


def is_plain(stream: IO[str] | None = None) -> bool:
    """Whether a stream (default: stdout) takes plain text only: no terminal, a dumb one, or NO_COLOR is set."""
    stream = stream or sys.stdout
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not stream.isatty()


def show(*tables: Table) -> None:
    """Print tables to stdout."""
    print(text_of(*tables))


def text_of(*tables: Table) -> str:
    """Tables as stdout takes them: drawn with colours in a terminal where rich is installed (extra `terminal`)."""
    if is_plain() or importlib.util.find_spec("rich") is None:
        return plain_text(*tables)
    return "\n".join(drawn(table) for table in tables)


def plain_text(*tables: Table) -> str:
    """Aligned columns without any control character."""
    return "\n".join(line for table in tables for line in plain_lines(table))


def plain_lines(table: Table) -> list[str]:
    names = [[column.name for column in table.columns]] if table.header else []
    rows = [*names, *table.rows]
    widths = [0 if c.ragged else max([c.width, *(len(row[i]) for row in rows)]) for i, c in enumerate(table.columns)]
    return ([table.title] if table.title else []) + [plain_line(table.columns, widths, row) for row in rows]


def plain_line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    cells = [
        (column.before if i or column.before != " " else "") + (text.rjust if column.right else text.ljust)(width)
        for i, (column, width, text) in enumerate(zip(columns, widths, row, strict=True))
    ]
    return "".join(cells).rstrip()


def drawn(table: Table) -> str:
    """The table as rich draws it, as wide as the terminal at most; in plain lines where numbers would be cut off."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=StringIO(), force_terminal=True)
    title = table.title and Text(table.title)
    picture = RichTable(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(table.columns):
        whole = max([len(column.name), *(len(row[i].strip()) for row in table.rows)])
        form: dict[str, Any] = {"overflow": "fold"} if column.folds else {"no_wrap": True}
        least = min(whole, FOLDED_WIDTH) if column.folds else whole
        picture.add_column(Text(column.name), justify="right" if column.right else "left", min_width=least, **form)
    for row in table.rows:
        picture.add_row(*(Text(text.strip()) for text in row))
    if console.measure(picture, options=console.options.update(max_width=10**6)).minimum > console.width:
        return plain_text(table)
    console.print(picture)
    return console.file.getvalue().rstrip("\n")


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal what takes so long and for how long already; for work that has no steps to count."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled() or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    from tqdm import tqdm

    ended = Event()

    def tick() -> None:
        if ended.wait(WAIT):
            return
        with tqdm(desc=what, bar_format="{desc} {elapsed}", leave=False) as bar:
            while not ended.wait(0.5):
                bar.refresh()

    clock = Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without the bars and messages of transformers and huggingface_hub, but for their errors."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # of the Hub's downloads, too
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
