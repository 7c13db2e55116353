"""Folders of which one text file is changed in each case, and commands that read them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from .byte_changes import changed_bytes
from .json_changes import changed, changed_text
from .target import Target

SUFFIXES = (".json", ".jsonl", ".yaml", ".jinja", ".md")
WEIGHTS = (".safetensors", ".pt", ".bin", ".png", ".parquet", ".py")
CHOICE = "reader.txt"  # beside the input of a case: which reader it is for


@dataclass(frozen=True)
class Source:
    """A valid folder and what reads it: functions of a copy of it and of a place for output."""

    folder: Path
    readers: dict[str, Callable[[Path, Path], Any]]

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.suffix in SUFFIXES and path.name != "README.md")


class FolderTarget(Target):
    """A target of several sources, of which `sources` are made by `prepare`."""

    sources: dict[str, Source]

    def change(self, random: Random, folder: Path) -> str:
        name = random.choice(list(self.sources))
        source = self.sources[name]
        reader = random.choice(list(source.readers))
        linked_copy(source.folder, folder)
        path = random.choice(source.files()).relative_to(source.folder)
        text, told = changed_as(random, path.suffix, (source.folder / path).read_bytes())
        (folder / path).write_bytes(text)
        (folder.parent / CHOICE).write_text(f"{name}\n{reader}")
        return f"{reader} of {name}, {path}: {told}"

    def run(self, folder: Path, output: Path) -> None:
        name, reader = (folder.parent / CHOICE).read_text().split("\n")
        self.sources[name].readers[reader](folder, output / "out")


def linked_copy(source: Path, folder: Path) -> None:
    """A copy whose weights are the same files, which nothing may change."""
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=linked_or_copied)


def linked_or_copied(source: str, target: str) -> None:
    if source.endswith(WEIGHTS):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def changed_as(random: Random, suffix: str, data: bytes) -> tuple[bytes, str]:
    """A changed text of the format that a suffix stands for."""
    if random.random() < 0.03:
        return changed_bytes(random, data)
    if suffix == ".json":
        return changed_text(random, json.loads(data))
    if suffix == ".jsonl":
        return changed_lines(random, data)
    if suffix == ".yaml":
        content, told = changed(random, yaml.safe_load(data))
        return yaml.dump(content, allow_unicode=False).encode("utf-8", "surrogatepass"), told
    return changed_bytes(random, data)


def changed_lines(random: Random, data: bytes) -> tuple[bytes, str]:
    """One of the lines changed, left out, doubled, or moved to the end."""
    lines = data.splitlines()
    at = random.randrange(len(lines))
    how = random.choice(("change", "change", "remove", "double", "move"))
    if how == "change":
        lines[at], told = changed_text(random, json.loads(lines[at]))
        how = told
    else:
        line = lines.pop(at) if how != "double" else lines[at]
        lines += [line] if how != "remove" else []
    return b"\n".join(lines) + b"\n", f"line {at}: {how}"
