"""The code that a checkpoint carries, and what of its sources stays behind.

`trust_remote_code=True` runs what `auto_map` names, so it must be known whose code that is.
How ours becomes flat files is in configuration/remote_code.py.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ...configuration.remote_code import code_files, remote_code
from ...configuration.vla_config import VLAConfig
from ..files.file_kinds import CODE, CONFIG, PROCESSOR, LeftBehind, kind_of, left_behind, travelling
from ..files.json_file import read_json
from ..tensors.plan import Plan
from .auto_map import config_files, read, rewrite


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


def not_taken(folders: dict[str, Path], plan: Plan, code: TravellingCode) -> list[LeftBehind]:
    """What of the sources does not travel, but for the files whose tensors were read.

    folders: by the names that reports have for them.
    """
    sources = [source for tensor in plan.tensors for source in tensor.sources]
    sources += [leftover.source for leftover in plan.leftovers]
    read_files = {source.file.path for source in sources if hasattr(source, "file")}
    used = read_files.union(*(path.parents for path in read_files))
    found = []
    for label, folder in folders.items():
        entries = [entry for entry in left_behind(folder) if entry.path not in used]
        unused = [path for path in travelling(folder, CODE) if path.name not in code.names]
        entries += [LeftBehind(path, "code that the output does not need") for path in unused]
        found += [LeftBehind(Path(label, entry.path.name), entry.reason) for entry in entries]
    return found
