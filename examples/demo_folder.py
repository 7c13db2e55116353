"""The folder of a demonstration: empty at its beginning, and never one with somebody else's files."""

import shutil
import sys
from pathlib import Path

MARK = ".demonstration"  # a file in every folder that one has made


def fresh_folder(given: Path) -> Path:
    """An empty folder at this place; one that a demonstration made is replaced. Others with files end the script."""
    folder = given.resolve()
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).is_file():
            sys.exit(f"{folder} holds files that no demonstration made: name another --output, or remove it")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return folder
