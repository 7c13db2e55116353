"""What commands show: tables as data, drawn by rich where a person looks and as plain aligned columns elsewhere.

Results go to stdout; bars, messages and warnings to stderr. Nothing here is slow to import.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import IO, Any

from .table_lines import FOLDED_WIDTH, Table, plain_text


def is_plain(stream: IO[str] | None = None) -> bool:
    """Whether a stream (default: stdout) takes plain text only: no terminal, a dumb one, or NO_COLOR is set."""
    stream = stream or sys.stdout
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not stream.isatty()


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; `None` where it is none, so that lines stay whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(*tables: Table) -> None:
    """Print tables to stdout."""
    print(text_of(*tables))


def text_of(*tables: Table) -> str:
    """Tables as stdout takes them: drawn with colours in a terminal where rich is installed (extra `terminal`)."""
    if is_plain() or importlib.util.find_spec("rich") is None:
        return plain_text(*tables, width=terminal_width())
    return "\n".join(drawn(table) for table in tables)


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
        return plain_text(table, width=terminal_width())
    console.print(picture)
    return console.file.getvalue().rstrip("\n")


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
