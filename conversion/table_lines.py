"""Tables as aligned columns of plain text, broken to the width of a narrow terminal."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

FOLDED_WIDTH = 16  # of a column whose texts are broken into lines, at least
RAGGED_INDENT = 4  # of further lines of a row without aligned columns, behind the first one's


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


def plain_text(*tables: Table, width: int | None = None) -> str:
    """Aligned columns without any control character.

    width: of the terminal, to which texts of columns that fold are broken, each in its column; `None`: rows are a line
    each, for programs and files.
    """
    return "\n".join(line for table in tables for line in plain_lines(table, width))


def plain_lines(table: Table, width: int | None = None) -> list[str]:
    """The title and the rows. A table whose other columns leave no room is not broken."""
    columns = table.columns
    names = [[column.name for column in columns]] if table.header else []
    rows = [*names, *table.rows]
    widths = [0 if c.ragged else max([c.width, *(len(row[i]) for row in rows)]) for i, c in enumerate(columns)]
    title = [] if not table.title else [table.title] if width is None else hanging(table.title, width, 2)
    if width is None or not any(column.folds for column in columns):
        return title + [plain_line(columns, widths, row) for row in rows]
    if any(column.ragged for column in columns):
        aligned = [i for i, column in enumerate(columns) if not column.ragged]
        indent = sum(widths[i] + len(before(columns, i)) for i in aligned) + RAGGED_INDENT
        return title + [line for row in rows for line in hanging(plain_line(columns, widths, row), width, indent)]
    widths = fitted(columns, widths, rows, width)
    return title + [line for row in rows for line in folded_lines(columns, widths, row)]


def plain_line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    cells = [
        before(columns, i) + (text.rjust if columns[i].right else text.ljust)(width)
        for i, (width, text) in enumerate(zip(widths, row, strict=True))
    ]
    return "".join(cells).rstrip()


def before(columns: Sequence[Column], number: int) -> str:
    """What stands in front of a column; nothing of the usual space before the first."""
    return columns[number].before if number or columns[number].before != " " else ""


def fitted(columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The widths with the widest columns that fold made narrower, until a line is not wider than `width`; as they are
    where a column would become narrower than its longest word, or than `FOLDED_WIDTH`.
    """
    found = list(widths)
    room = {
        i: found[i] - min(FOLDED_WIDTH, max(map(len, " ".join(row[i] for row in rows).split()), default=0))
        for i, column in enumerate(columns)
        if column.folds
    }
    for _ in range(sum(found) + sum(len(before(columns, i)) for i in range(len(columns))) - width):
        widest = max((i for i in room if room[i] > 0), key=lambda i: found[i], default=None)
        if widest is None:
            return list(widths)
        found[widest] -= 1
        room[widest] -= 1
    return found


def folded_lines(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> list[str]:
    """One row, of as many lines as its longest cell has."""
    cells = [
        hanging(text, width) if column.folds and len(text) > width else [text]
        for column, width, text in zip(columns, widths, row, strict=True)
    ]
    return [plain_line(columns, widths, line) for line in zip_longest(*cells, fillvalue="")]


def hanging(text: str, width: int, indent: int = 0) -> list[str]:
    """A text in lines that begin further in from the second on."""
    space = " " * min(indent, max(width - FOLDED_WIDTH, 0))
    return textwrap.wrap(text, width, subsequent_indent=space, break_on_hyphens=False) or [""]
