"""Files of a run that are there whole or not at all, whenever the run is killed."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text beside `path`, and put it in its place; a kill leaves what was there before."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
