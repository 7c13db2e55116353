"""What a merge takes over from the folders of base and adapters, and what stays behind there."""

import shutil
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from ..files.file_kinds import (
    CARD,
    CARD_NAME,
    CODE,
    CONFIG,
    PROCESSOR,
    STATISTICS,
    STATISTICS_NAME,
    TOKENIZER,
    LeftBehind,
    leads_out,
    left_behind,
    travelling,
)
from ..files.json_file import json_text, load_json, refuse_nan
from ..tensors.plan import Plan
from .travelling_code import TravellingCode, read, with_auto_map

PROCESSOR_NAME = "processor_config.json"
FROM_BASE = (CONFIG, PROCESSOR, TOKENIZER, CARD, STATISTICS)
FROM_ADAPTER = (PROCESSOR, TOKENIZER, STATISTICS)


def copy_files(base: Path, adapters: list[Path], folder: Path) -> None:
    """Everything of the base but weights, code and card; tokenizer, processor and statistics of the last adapter that
    brings them.

    What an adapter's files name as code is replaced by what the base's name.
    """
    for path in travelling(base, *FROM_BASE):
        if path.name != CARD_NAME and not (path.name == STATISTICS_NAME and any(map(has_statistics, adapters))):
            shutil.copyfile(path, folder / path.name)
    for path in (path for adapter in adapters for path in travelling(adapter, *FROM_ADAPTER)):
        if not path.name.endswith("_config.json"):
            shutil.copyfile(path, folder / path.name)
            continue
        same = folder / path.name  # as the base has it
        auto_map = read(same).get("auto_map") if same.exists() else None
        text = json_text(with_auto_map(read(path), auto_map), path.name, indent=2, ensure_ascii=False)
        (folder / path.name).write_text(text, encoding="utf-8")


def check_copied(base: Path, adapters: list[Path]) -> None:
    """Refuse JSON that would be copied and holds what is none.

    Raises:
        ConversionError: the message names the file.
    """
    copied = [*travelling(base, *FROM_BASE), *(p for adapter in adapters for p in travelling(adapter, *FROM_ADAPTER))]
    for path in copied:
        if path.suffix == ".json" and isinstance(load_json(path), (dict, list)):
            refuse_nan(path)


def has_statistics(adapter: Path) -> bool:
    """Whether an adapter was trained on data of its own, for which the base's statistics do not hold."""
    processor = read(adapter / PROCESSOR_NAME) if adapter / PROCESSOR_NAME in travelling(adapter, PROCESSOR) else {}
    return bool(processor.get("norm_stats")) or (adapter / STATISTICS_NAME).is_file()


def check_config_lies_here(folder: Path) -> None:
    """Refuse a config.json that is a link out of its folder: no output can be without one.

    Raises:
        ConversionError: it is one.
    """
    if leads_out(folder / "config.json"):
        raise ConversionError(f"{folder}/config.json is a link out of its folder; put the file itself there.")


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
