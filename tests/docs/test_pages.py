"""Every code block of README.md and docs/ runs, page by page, on tiny models.

A block that is not meant to run says so in front of it: `<!-- not run: reason -->`.
"""

import json
import os
import re
from pathlib import Path

import page_blocks
import pytest
import yaml
from fresh_python import in_fresh_python
from page_blocks import COMMANDS, Block, blocks_of
from page_commands import NOT_RUN, carry_out, check, commands_of, is_push, reason_not_run
from page_folders import prepare
from page_names import INSTEAD, PAGES, Page, common_names

DATA = {"json": json.loads, "yaml": yaml.safe_load}
LANGUAGES = {*COMMANDS, *DATA, "python", "mermaid"}
USER = "user"  # of the Hub on loopback
MARKED = 9  # blocks with a marker in all pages: a new one is to be thought about
WITH_BLOCKS = [page for page in page_blocks.PAGES if any(block.reason is None for block in blocks_of(page))]


def test_every_block_is_of_a_language_that_is_run_or_says_why_it_is_not():
    blocks = [block for page in page_blocks.PAGES for block in blocks_of(page)]
    marked = [block for block in blocks if block.reason is not None]
    print(*(f"not run: {block.place}: {block.reason}" for block in marked), sep="\n")
    assert len(marked) == MARKED and all(block.reason for block in marked), [block.place for block in marked]
    unknown = [block.place for block in blocks if block.reason is None and block.language not in LANGUAGES]
    assert not unknown, f"of a language that no test runs: {unknown}"
    for block in blocks:
        DATA.get(block.language, str)(block.text)


def test_every_command_is_one_that_there_is():
    for page in page_blocks.PAGES:
        for block in blocks_of(page):
            for words in commands_of(block) if block.reason is None else ():
                check(words, block.place)


def test_every_reason_not_to_run_a_command_is_needed():
    blocks = [block for page in page_blocks.PAGES for block in blocks_of(page) if block.reason is None]
    reasons = {reason_not_run(words) for block in blocks for words in commands_of(block)}
    unused = [start for start, why in NOT_RUN.items() if why not in reasons]
    assert not unused


def test_every_page_with_blocks_is_prepared():
    plain = [page for page in WITH_BLOCKS if any(needs_a_folder(block) for block in blocks_of(page))]
    assert sorted(plain) == sorted(set(PAGES) & set(page_blocks.PAGES))


def needs_a_folder(block: Block) -> bool:
    return block.language == "python" or any(not reason_not_run(words) for words in commands_of(block))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """What was made for pages before."""
    return tmp_path_factory.mktemp("made")


@pytest.mark.every_case
@pytest.mark.parametrize(
    "page", [pytest.param(name, marks=[pytest.mark.slow] if PAGES[name].slow else []) for name in PAGES]
)
def test_the_blocks_of_a_page_run(page, made, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    for name in PAGES[page].folders:
        prepare(name, tmp_path, made)
    names = common_names()
    for block in blocks_of(page):
        if block.reason is not None:
            continue
        if block.language == "python":
            run_python(block, names, PAGES[page])
        for words in commands_of(block):
            if is_push(words):
                push(words, request.getfixturevalue("hub_server").url)
            elif not reason_not_run(words):
                carry_out(words, block.place)


def run_python(block: Block, names: dict, page: Page) -> None:
    """Execute a block; lines of errors are those of the page."""
    if "__known__" not in names:
        names |= page.names() | {"__known__": True}
    text = block.text
    for real, here in INSTEAD.items():
        text = text.replace(real, here)
    code = compile("\n" * (block.line - 1) + text, block.page, "exec")
    exec(code, names)


def push(words: list[str], url: str) -> None:
    """In a process of its own, whose Hub is on loopback."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    settings = {"HF_ENDPOINT": url, "HF_TOKEN": "dummy", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    settings |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(Path("hub_home").absolute())}
    command = ["-m", *(re.sub("^you/", f"{USER}/", word) for word in words)]
    done = in_fresh_python(command, env={**inherited, **settings}, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert re.search(r"https?://", done.stdout), done.stdout
