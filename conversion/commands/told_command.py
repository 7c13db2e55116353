"""The command line of a conversion as a report and a card show it: without paths and what changes no result."""

import shlex
from pathlib import Path

from ...configuration.checkpoint_card import is_repository

FLAGS = ("--quiet", "--overwrite", "--no-verify", "--debug", "--dry-run", "--try")  # left out
VALUES = ("--device", "--max-shard-size", "--push-to-hub", "--card")  # left out with the word that follows
SAME = {"assemble": "create"}  # another word for a command
OUTPUT = "OUTPUT"


def told_command(line: str, output: Path) -> str:
    """One line of a shell.

    Args:
        line: the whole command line, as a shell would read it.
        output: as it was given; it is shown as OUTPUT.
    """
    program, *words = shlex.split(line)
    words[:1] = [SAME.get(word, word) for word in words[:1]]
    shown = [program] if program != "vlahub" or not words or words[0] != "merge-lora" else []
    follows = ""
    for word in words:
        if follows in VALUES:
            follows = ""
            continue
        option, given, value = word.partition("=") if word.startswith("--") else ("", "", word)
        follows = option if option and not given else ""
        if option in VALUES or option in FLAGS:
            continue
        text = shown_word(value, output)
        shown.append((f"{option}={text}" if given else option) if option else text)
    return shlex.join(shown)


def shown_word(word: str, output: Path) -> str:
    """A path becomes its last name."""
    if word and Path(word) == output:
        return OUTPUT
    path = Path(word)
    if "/" in word and (path.exists() or not is_repository(word)):
        return path.resolve().name if path.exists() else path.name
    return word
