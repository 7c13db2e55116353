"""Code blocks of README.md and of the pages in docs/."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md"))]
NOT_RUN = re.compile(r"<!--\s*not run:\s*(.*?)\s*-->")
COMMANDS = ("", "sh", "bash", "console")  # an indented block has no language


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        line: of its first line, from 1.
        language: what stands behind the fence; of an indented block "".
        reason: of its marker `<!-- not run: reason -->`, or `None` where there is none.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """The blocks of a page, in order; page: relative to the repository."""
    found, marker = [], None
    for token in MarkdownIt().enable("table").parse((REPOSITORY / page).read_text(encoding="utf-8")):
        if token.type == "html_block":
            marker = NOT_RUN.search(token.content)
        elif token.type in ("fence", "code_block"):
            fenced = token.type == "fence"
            language = token.info.split()[0] if token.info.split() else "text" if fenced else ""
            found.append(Block(page, token.map[0] + 1 + fenced, language, token.content, marker and marker[1]))
            marker = None
        elif token.nesting >= 0:
            marker = None
    return tuple(found)
