"""Names of code in JSON files, as `auto_map` has them: found, checked and written; transformers runs what they name."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...configuration.vla_errors import ConversionError
from ..files.file_kinds import CODE, CONFIG, PROCESSOR, TOKENIZER, kind_of, travelling
from ..files.json_file import json_text, read_json

CODE_KEYS = ("auto_map", "custom_pipelines")  # what transformers imports because a JSON file says so
TOKENIZER_CONFIG = "tokenizer_config.json"


class ModuleNames(NamedTuple):
    """`top`: what a module defines or imports; `siblings`: the modules of its folder that it imports, as transformers
    finds them.
    """

    top: frozenset[str]
    siblings: frozenset[str]


def config_files(folder: Path) -> list[Path]:
    """The JSON files in which transformers looks for names of code."""
    files = travelling(folder, CONFIG, PROCESSOR, TOKENIZER)
    return [path for path in files if kind_of(path.name) != TOKENIZER or path.name == TOKENIZER_CONFIG]


def read(path: Path) -> dict[str, Any]:
    return read_json([path.parent], path.name, required=True)


def references(content: Any) -> Iterator[str]:
    """Everything that is named as code, at any depth: `file.Class`, or `owner/repository--file.Class`."""
    if isinstance(content, list):
        for value in content:
            yield from references(value)
    elif isinstance(content, dict):
        for key, value in content.items():
            if key == "auto_map":
                yield from strings(value)
            elif key == "custom_pipelines":
                yield from strings([task.get("impl") for task in value.values()])
            else:
                yield from references(value)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def with_auto_map(content: Any, auto_map: dict[str, Any] | None) -> Any:
    """The same with another `auto_map`, at any depth where there was one; without any where it is `None`."""
    if isinstance(content, list):
        return [with_auto_map(value, auto_map) for value in content]
    if not isinstance(content, dict):
        return content
    kept = {key: with_auto_map(value, auto_map) for key, value in content.items() if key not in CODE_KEYS}
    return kept | ({"auto_map": auto_map} if auto_map and "auto_map" in content else {})


def rewrite(path: Path, auto_map: dict[str, Any] | None) -> None:
    """Give a JSON file this `auto_map`; a file that has it already stays as it is, byte by byte."""
    content = read(path)
    wanted = with_auto_map(content, auto_map) | ({"auto_map": auto_map} if auto_map else {})
    if wanted != content:
        path.write_text(json_text(wanted, path.name, indent=2, ensure_ascii=False), encoding="utf-8")


def check_references(folder: Path) -> None:
    """See that all code that JSON files name lies in the folder.

    Raises:
        ConversionError: an entry leads out of the folder, or names another repository, a missing file or a class that
            the file does not have.
    """
    for path in config_files(folder):
        for reference in references(read(path)):
            if problem := reference_problem(reference, folder):
                raise ConversionError(f"{path} names the code {reference!r}, {problem}.")


def reference_problem(reference: str, folder: Path) -> str | None:
    """What is wrong with an entry of `auto_map`, as the end of a sentence."""
    if "--" in reference:
        return "which lies in another repository"
    module, _, name = reference.rpartition(".")
    if not module.isidentifier() or not name.isidentifier():
        return "which is no file.Class in this folder"
    files = {path.stem: path for path in travelling(folder, CODE)}
    waiting, seen = [module], set()
    while waiting:
        module = waiting.pop()
        if module not in files:
            return f"but {module}.py is missing" + (f", which {', '.join(sorted(seen))} need" if seen else "")
        try:
            found = module_names(files[module].read_bytes())
        except (SyntaxError, ValueError) as error:
            return f"but {module}.py is no Python: {error}"
        if not seen and name not in found.top:
            return f"but {module}.py has no {name}"
        seen.add(module)
        waiting += found.siblings - seen
    return None


@functools.lru_cache(maxsize=256)  # every entry leads to the same files, and every checkpoint of a release has them
def module_names(source: bytes) -> ModuleNames:
    """What the text of a module names.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    top, siblings = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            top.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            top.update(alias.asname or alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                siblings.add(node.module)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            top.add(node.id)
    return ModuleNames(frozenset(top), frozenset(siblings))
