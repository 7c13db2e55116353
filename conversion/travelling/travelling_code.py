"""Code that a merged checkpoint carries: our own from this release, somebody else's only where that was allowed.

`trust_remote_code=True` runs what `auto_map` names, so it must be known whose code that is.
How ours becomes flat files is in configuration/remote_code.py.
"""

import ast
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ...configuration.remote_code import code_files, remote_code
from ...configuration.vla_config import VLAConfig
from ...configuration.vla_errors import ConversionError
from ..files.file_kinds import CODE, CONFIG, PROCESSOR, TOKENIZER, kind_of, travelling
from ..files.json_file import json_text, read_json
from ..tensors.plan import Fact

CODE_KEYS = ("auto_map", "custom_pipelines")  # what transformers imports because a JSON file says so
TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True)
class TravellingCode:
    """The code of one output.

    Attributes:
        texts: our own files, `{name: text}`.
        foreign: files of the base that are copied as they are.
        auto_map, processor_map: what config.json and the processor's files name of `texts`.
        replaced: files of the base in whose place this release's are written, or that nothing needs.
    """

    texts: dict[str, str] = field(default_factory=dict)
    foreign: tuple[Path, ...] = ()
    auto_map: dict[str, str] = field(default_factory=dict)
    processor_map: dict[str, str] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        return {*self.texts, *(path.name for path in self.foreign)}

    def write(self, folder: Path) -> None:
        """Write the files, and name them in the JSON files that are there already."""
        for path in self.foreign:
            shutil.copyfile(path, folder / path.name)
        for name, text in self.texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        if self.texts:
            for path in config_files(folder):
                maps = {CONFIG: self.auto_map, PROCESSOR: self.processor_map}
                rewrite(path, maps.get(kind_of(path.name)) if path.name != "generation_config.json" else None)


def code_for_merge(base: Path, adapters: list[Path], allowed: bool) -> TravellingCode:
    """What travels with a model that is merged into `base`.

    A base of our own families gets this release's code. Any other code is somebody else's.

    Raises:
        ConversionError: the base needs code of its own and that was not `allowed`, or it does not lie in the base.
    """
    files, config = travelling(base, CODE), own_config(base)
    if config:
        own = own_code(config, [base, *adapters])
        replaced = differing(files, own.texts)
        if not (allowed and replaced):
            return replace(own, replaced=tuple(replaced))
    if allowed:
        check_references(base)
        return TravellingCode(foreign=tuple(files))
    named = {path.name: sorted(set(references(read(path)))) for path in config_files(base)}
    if named := {name: values for name, values in named.items() if values}:
        where = "; ".join(f"{name} names {', '.join(values)}" for name, values in named.items())
        there = ", ".join(path.name for path in files) or "none of it"
        raise ConversionError(
            f"{base} runs code of its own ({where}; there is {there}), which is not checked here: read it, and pass "
            "--allow-code to let it travel into the output."
        )
    return TravellingCode()


def code_facts(code: TravellingCode) -> list[Fact]:
    """What plan and report say about the code."""
    facts = []
    if code.foreign:
        names = ", ".join(path.name for path in code.foreign)
        facts.append(Fact("foreign code", names, "given (--allow-code); copied from the base and not checked"))
    if code.replaced:
        facts.append(Fact("code", "this release's", f"in place of the base's {', '.join(code.replaced)}"))
    return facts


def own_code(config: VLAConfig, folders: list[Path]) -> TravellingCode:
    """This release's code for a checkpoint of our families.

    folders: where its processor's files are; the last one that names a class counts.
    """
    processors = {name: value for name, value in config.auto_classes.items() if "Processor" in name}
    ours = code_files(type(config))
    for path in (path for folder in folders for path in travelling(folder, PROCESSOR)):
        named = read(path).get("auto_map")
        for name, value in named.items() if isinstance(named, dict) else ():
            if "Processor" in name and isinstance(value, str) and value.split(".")[0] in ours:
                processors[name] = value
    texts = remote_code(type(config), {**config.auto_classes, **processors})
    return TravellingCode(texts, auto_map=dict(config.auto_classes), processor_map=processors)


def own_config(folder: Path) -> VLAConfig | None:
    """The config of a checkpoint of our own families, `None` for any other model."""
    kind = own_config_class(read_json([folder], "config.json", required=False) or {})
    return kind and kind.from_pretrained(folder)


def own_config_class(config: dict[str, Any]) -> type[VLAConfig] | None:
    """The class of the content of a config.json, where it is one of our own families."""
    model_type = config.get("model_type")
    kind = CONFIG_MAPPING[model_type] if isinstance(model_type, str) and model_type in CONFIG_MAPPING else None
    return kind if kind and issubclass(kind, VLAConfig) else None


def differing(files: list[Path], bundle: dict[str, str]) -> list[str]:
    """Names of files that are not those of the bundle."""
    return [p.name for p in files if p.name not in bundle or p.read_bytes() != bundle[p.name].encode()]


# auto_map


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
            tree = ast.parse(files[module].read_bytes())
        except (SyntaxError, ValueError) as error:
            return f"but {module}.py is no Python: {error}"
        if not seen and name not in top_names(tree):
            return f"but {module}.py has no {name}"
        seen.add(module)
        waiting += {name for name in sibling_imports(tree) if name not in seen}
    return None


def top_names(tree: ast.Module) -> set[str]:
    """What a module defines or imports."""
    classes = {node.name for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    imports = (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)))
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return classes | assigned | {alias.asname or alias.name for node in imports for alias in node.names}


def sibling_imports(tree: ast.Module) -> set[str]:
    """Modules that are imported from the same folder, as transformers finds them."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {node.module for node in found if node.level == 1 and node.module}
