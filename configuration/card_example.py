"""The example of a card, and what was seen with it: two blocks between comments, renewed until somebody edits them.

The comment that opens a block has a hash of its text, so that words of somebody's own in there are noticed, whatever
else of the card was edited.
"""

import re
from dataclasses import dataclass

from .card_markdown import sections
from .card_stamp import normalised, sha256

EXAMPLE_BLOCK, SEEN_BLOCK = "example", "seen with these weights"
PLACE = "<!-- vlahub card -->"  # where a card that somebody wrote is to have the example
OPENING = "<!-- {name}; vlahub card renews this until it is edited: {hash} -->"
CLOSING = "<!-- end of {name} -->"
REPOSITORY = re.compile(r'(?m)^repository = (".*?")$')  # another one is no edit: `push` writes its name there
# Of cards of earlier releases, which have no comments around it.
FORMER_EXAMPLE = re.compile(r"(?<=## Load it\n\n)```python\n.*?\n```(?=\n)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Where a block stands in a card, with its comments, and whether somebody edited it."""

    start: int
    end: int
    is_edited: bool


def block(name: str, text: str) -> str:
    """A text between the comments of its block."""
    return f"{OPENING.format(name=name, hash=block_hash(text))}\n\n{text}\n\n{CLOSING.format(name=name)}"


def find_block(card: str, name: str) -> Block | None:
    """The block of a card; `None` where it has none.

    Of several comments those count between which the text has the hash: a model may write such a comment, too.
    """
    pattern = re.escape(OPENING.format(name=name, hash="HASH")).replace("HASH", "([0-9a-f]{64})")
    openings = list(re.finditer(pattern, card))
    closings = list(re.finditer(re.escape(CLOSING.format(name=name)), card))
    pairs = [(first, last) for first in openings for last in closings if first.end() <= last.start()]
    for first, last in pairs:
        if block_hash(card[first.end() : last.start()]) == first[1]:
            return Block(first.start(), last.end(), is_edited=False)
    return Block(pairs[0][0].start(), pairs[0][1].end(), is_edited=True) if pairs else None


def block_hash(text: str) -> str:
    return sha256(REPOSITORY.sub("", normalised(text)))


def edited_blocks(card: str) -> list[str]:
    """Names of the blocks in which somebody wrote."""
    return [name for name in (EXAMPLE_BLOCK, SEEN_BLOCK) if (found := find_block(card, name)) and found.is_edited]


def has_place(card: str) -> bool:
    """Whether a card has a place for the example."""
    return find_block(card, EXAMPLE_BLOCK) is not None or PLACE in card


def with_example(card: str, example: str, seen: str = "") -> str:
    """A card that has a place for it, with another example and what was seen with it; the rest stays as it is."""
    card = without_seen(card)
    new = sections(block(EXAMPLE_BLOCK, example), block(SEEN_BLOCK, seen) if seen else "")
    found = find_block(card, EXAMPLE_BLOCK)
    if found is None:
        return card.replace(PLACE, new, 1)
    return card[: found.start] + new + card[found.end :]


def without_seen(card: str) -> str:
    """A card without what was seen with its weights, where that is as it was written."""
    found = find_block(card, SEEN_BLOCK)
    if found is None or found.is_edited:
        return card
    return f"{card[: found.start].rstrip()}\n\n{card[found.end :].lstrip()}"
