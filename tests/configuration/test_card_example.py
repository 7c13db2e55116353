"""The two blocks of a card that are renewed: found, told from what somebody wrote, and put into any card."""

import pytest

from vlahub.configuration.card_example import (
    EXAMPLE_BLOCK,
    PLACE,
    SEEN_BLOCK,
    block,
    edited_blocks,
    find_block,
    has_place,
    with_example,
    without_seen,
)

EXAMPLE, SEEN = '```python\nrepository = "a/b"\nrun()\n```', "It printed 1."
CARD = f"# Mine\n\n{block(EXAMPLE_BLOCK, EXAMPLE)}\n\n{block(SEEN_BLOCK, SEEN)}\n\nMore.\n"


def test_a_block_is_found_with_its_comments():
    found = find_block(CARD, EXAMPLE_BLOCK)
    assert CARD[found.start : found.end] == block(EXAMPLE_BLOCK, EXAMPLE) and not found.is_edited
    assert find_block("# Mine\n", EXAMPLE_BLOCK) is None


SAME = {
    "another repository": lambda card: card.replace('"a/b"', '"me/mine"'),
    "Windows": lambda card: card.replace("\n", "\r\n"),
    "spaces at the end": lambda card: card.replace("run()", "run()  "),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_name_of_a_repository_and_what_tools_do_are_no_edits(change):
    assert edited_blocks(change(CARD)) == []


@pytest.mark.parametrize(("word", "name"), [("run()", EXAMPLE_BLOCK), ("printed", SEEN_BLOCK)])
def test_a_word_of_somebodys_own_is_seen_in_either_block(word, name):
    edited = CARD.replace(word, "mine")
    found = find_block(edited, name)
    assert edited_blocks(edited) == [name] and found.is_edited
    assert edited[found.start : found.end] == block(name, {EXAMPLE_BLOCK: EXAMPLE, SEEN_BLOCK: SEEN}[name]).replace(
        word, "mine"
    )


def test_both_blocks_may_be_edited():
    assert edited_blocks(CARD.replace("run()", "x").replace("printed", "x")) == [EXAMPLE_BLOCK, SEEN_BLOCK]


def test_a_text_that_looks_like_comments_is_no_end_of_a_block():
    inner = block(EXAMPLE_BLOCK, "inner")
    card = f"# Mine\n\n{block(EXAMPLE_BLOCK, inner)}\n"
    found = find_block(card, EXAMPLE_BLOCK)
    assert card[found.start : found.end] == block(EXAMPLE_BLOCK, inner) and not found.is_edited
    before = f"<!-- end of {EXAMPLE_BLOCK} -->\n\n{CARD}"
    found = find_block(before, EXAMPLE_BLOCK)
    assert before[found.start : found.end] == block(EXAMPLE_BLOCK, EXAMPLE)


def test_a_place_is_a_line_or_a_block():
    assert has_place(f"# Mine\n{PLACE}\n") and has_place(CARD) and not has_place("# Mine\n")


@pytest.mark.parametrize("seen", ["", "It printed 2."])
def test_another_example_takes_the_place_of_the_former_one_and_of_what_was_seen(seen):
    new = block(EXAMPLE_BLOCK, "new") + (f"\n\n{block(SEEN_BLOCK, seen)}" if seen else "")
    assert with_example(CARD, "new", seen) == f"# Mine\n\n{new}\n\nMore.\n"
    assert with_example(f"# Mine\n\n{PLACE}\n\n{PLACE}\n", "new", seen) == f"# Mine\n\n{new}\n\n{PLACE}\n"


def test_what_somebody_wrote_about_what_was_seen_stays():
    assert without_seen(CARD) == f"# Mine\n\n{block(EXAMPLE_BLOCK, EXAMPLE)}\n\nMore.\n"
    edited = CARD.replace("printed", "prints")
    assert without_seen(edited) == edited and without_seen("# Mine\n") == "# Mine\n"
