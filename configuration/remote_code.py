"""The code that a checkpoint carries with it: which files, and how they are written flat into one folder.

transformers loads a checkpoint's own code (`trust_remote_code=True`) from files that lie side by side. Ours lie in
packages, so an import from a sibling package becomes an import from a sibling file on the way out. Classes that were
themselves loaded from a checkpoint are copied by transformers, and nothing is left to do here.

It stands in the first layer because a config writes its code whenever it is saved, also out of a checkpoint, which
carries this file, too. What code a merge takes over from the folders of base and adapter is another question, and
answered in conversion/travelling/travelling_code.py.
"""

import ast
import functools
import hashlib
import os
import re
import sys
from pathlib import Path

CODE_FOLDERS = ("configuration", "modeling", "processing")
CONFIGURATION = "configuration_"  # begins the name of a family's config file
FOOTER = "\n# transformers 4.57 copies only the files that this one names from a local folder.\n"


def write_remote_code(owner: type, auto_classes: dict[str, str], folder: str | os.PathLike) -> list[str]:
    """Write the files that `auto_classes` needs into `folder`; returns their names, sorted. See `remote_code`."""
    texts = remote_code(owner, auto_classes)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (Path(folder) / name).write_text(text, encoding="utf-8")
    return sorted(texts)


def remote_code(owner: type, auto_classes: dict[str, str]) -> dict[str, str]:
    """`{file name: text}` of the code that `auto_classes` needs; empty where transformers copies it itself.

    Args:
        owner: a class of this package; its file tells where the others are.
        auto_classes: values of the form `file.Class`, as in a config's `auto_map`.
    """
    root = code_root(Path(sys.modules[owner.__module__].__file__).resolve())
    entries = sorted({value.split(".")[0] for value in auto_classes.values()})
    return {} if root is None else dict(texts_of(root, tuple(entries)))


@functools.cache  # every save writes them, and while a process runs they are those of the classes that it has imported
def texts_of(root: Path, entries: tuple[str, ...]) -> dict[str, str]:
    """`{file name: text}` of the entry files and all that they need, empty where an entry is no file of ours."""
    sources = files_below(root)
    if not all(entry in sources for entry in entries):  # loaded from a checkpoint: transformers copies the files
        return {}
    texts: dict[str, str] = {}
    mark = mark_of(sources)
    for entry in entries:
        needed = closure(entry, sources)
        unnamed = sorted(needed - relative_imports(sources[entry]) - {entry})
        marked = {name: flattened(sources[name]) + mark * name.startswith(CONFIGURATION) for name in needed}
        texts |= {name: text for name, text in marked.items() if name not in texts}
        texts[entry] = marked[entry] + name_all(unnamed)
    return {f"{name}.py": text for name, text in texts.items()}


def mark_of(sources: dict[str, Path]) -> str:
    """A line that differs between releases, for the end of a family's config file.

    transformers 5 knows a local folder's config class by the text of its file and takes, for a class that it knows, the
    model class that it has: of two releases that differ in another file, the first one's model would run for both.
    """
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name].read_bytes() + b"\0")
    return f"\n# Of all code of this release, so that no other is taken for it: {digest.hexdigest()}\n"


def code_files(owner: type) -> dict[str, Path]:
    """`{base name: path}` of every file that may be bundled; base names are unique in the project."""
    root = code_root(Path(sys.modules[owner.__module__].__file__).resolve())
    return {} if root is None else files_below(root)


def files_below(root: Path) -> dict[str, Path]:
    return {path.stem: path for folder in CODE_FOLDERS for path in (root / folder).rglob("[!_]*.py")}


def code_root(file: Path) -> Path | None:
    """The folder that holds `CODE_FOLDERS`, one of which holds the file; `None` for a file of a checkpoint."""
    found = (folder.parent for folder in file.parents if folder.name in CODE_FOLDERS)
    return next((root for root in found if all((root / folder).is_dir() for folder in CODE_FOLDERS)), None)


def closure(entry: str, sources: dict[str, Path]) -> set[str]:
    """The file itself and all that it imports from us, directly or not."""
    found, waiting = set(), [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(relative_imports(sources[name]))
    return found


@functools.cache
def relative_imports(path: Path) -> set[str]:
    """Base names of the files that one file imports relatively."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module.split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}


def flattened(path: Path) -> str:
    """The file's text with relative imports from any folder made `.name` imports."""
    return re.sub(r"(?m)^(\s*from )\.+(?:\w+\.)*(\w+ import)", r"\1.\2", path.read_text(encoding="utf-8"))


def name_all(names: list[str]) -> str:
    """The end of an entry file that names these files, empty without any."""
    if not names:
        return ""
    return FOOTER + "".join(f"from .{name} import __name__ as _{name}  # noqa: E402, F401\n" for name in names)
