"""Pieces of Markdown for cards, into which names of anybody may go: they are shown as they are, and do nothing."""

import re
from collections.abc import Sequence
from typing import Any

# Whatever else a name holds is written as HTML entities, which are no markup for anybody who reads the page.
# An underscore between letters is no markup either.
MARKUP = re.compile(r"(?<![^\W_])_|_(?![^\W_])|[^\w .,:;+/()=%{}'\"-]")
TAME = " .,;:?{}()=/+-"  # of what stands between HTML tags
PLAIN_CODE = re.compile(r"[^\s`|<>&](?:[^`|<>&]*[^\s`|<>&])?")


def words(text: str) -> str:
    """A name in running text or in a heading, on one line."""
    return MARKUP.sub(lambda found: entity(found[0]), " ".join(str(text).split()))


def code(text: object) -> str:
    """A name as code on one line, in a sentence or in the cell of a table; a line's end is shown as `\\n`."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    if PLAIN_CODE.fullmatch(shown):
        return f"`{shown}`"
    return "<code>" + "".join(c if c.isalnum() or c in TAME else entity(c) for c in shown) + "</code>"


def entity(character: str) -> str:
    return f"&#{ord(character)};"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """header, rows: Markdown of each cell; names in them have gone through `code` or `words`."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def fenced(text: str, language: str = "text") -> str:
    """A block of code, whatever it holds: the fence is longer than any in the text."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def details(summary: str, text: str) -> str:
    """A block that is closed until somebody opens it; summary: HTML."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def stack_text(config: Any) -> str:
    """The size of a stack of layers."""
    return layers_text(config.num_hidden_layers, config.hidden_size)


def layers_text(layers: int, width: int) -> str:
    return f"{layers} layer{'' if layers == 1 else 's'} of width {width}"


def sections(*parts: str) -> str:
    """Parts with an empty line between them; those that are empty are left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part)
