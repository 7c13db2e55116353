"""What a merge takes over from the folders of base and adapters."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from ...configuration.vla_errors import ConversionError
from ...modeling.generation_settings import end_tokens, generation_in
from ..files.file_kinds import (
    CARD,
    CARD_NAME,
    CONFIG,
    GENERATION_NAME,
    PROCESSOR,
    STATISTICS,
    STATISTICS_NAME,
    TOKENIZER,
    leads_out,
    travelling,
)
from ..files.json_file import json_text, load_json, refuse_nan
from ..travelling.auto_map import read, with_auto_map

PROCESSOR_CONFIG = "processor_config.json"
FROM_BASE = (CONFIG, PROCESSOR, TOKENIZER, CARD, STATISTICS)
FROM_ADAPTER = (PROCESSOR, TOKENIZER, STATISTICS)  # and how its run writes text
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = ("special_tokens_map.json", "added_tokens.json")  # that 4.x writes, and 5.x into tokenizer.json
TEMPLATES = ("chat_template.jinja", "chat_template.json")


def copy_files(base: Path, adapters: list[Path], folder: Path) -> None:
    """Everything of the base but weights, code and card; tokenizer, processor, statistics and settings of writing are
    those of the last adapter that brings them.

    What an adapter's files name as code is replaced by what the base's name.
    """
    for path in travelling(base, *FROM_BASE):
        if path.name != CARD_NAME and not (path.name == STATISTICS_NAME and any(map(has_statistics, adapters))):
            shutil.copyfile(path, folder / path.name)
    for adapter in adapters:
        files = {path.name: path for path in brought(adapter)}
        for name in read_instead(files):
            (folder / name).unlink(missing_ok=True)
        for path in files.values():
            copy_of_adapter(path, folder)
    stop_where_each_ends(adapters, folder)


def brought(adapter: Path) -> list[Path]:
    """The files of an adapter that a merge takes over; its config.json, if there is one, is the base's."""
    generation = [path for path in travelling(adapter, CONFIG) if path.name == GENERATION_NAME]
    return [*travelling(adapter, *FROM_ADAPTER), *generation]


def stop_where_each_ends(adapters: list[Path], folder: Path) -> None:
    """Of several adapters with settings of writing, the merged model stops where the texts of any of them end."""
    found = [path for adapter in adapters for path in brought(adapter) if path.name == GENERATION_NAME]
    if len(found) > 1:
        ends = dict.fromkeys(token for path in found for token in end_tokens(read(path).get("eos_token_id")))
        text = json_text({**read(folder / GENERATION_NAME), "eos_token_id": list(ends)}, GENERATION_NAME, indent=2)
        (folder / GENERATION_NAME).write_text(text, encoding="utf-8")


def copy_of_adapter(path: Path, folder: Path) -> None:
    if not path.name.endswith("_config.json"):
        shutil.copyfile(path, folder / path.name)
        return
    same = folder / path.name  # as the base has it
    auto_map = read(same).get("auto_map") if same.exists() else None
    text = json_text(with_auto_map(read(path), auto_map), path.name, indent=2, ensure_ascii=False)
    (folder / path.name).write_text(text, encoding="utf-8")


def read_instead(files: Mapping[str, Path]) -> list[str]:
    """What earlier folders may have brought and transformers would read in the place of an adapter's own: the special
    tokens of another tokenizer, and a chat template, where the adapter's stands in its tokenizer_config.json."""
    special = SPECIAL_TOKENS if "tokenizer.json" in files else ()
    has_template = TOKENIZER_CONFIG in files and read(files[TOKENIZER_CONFIG]).get("chat_template")
    return [*special, *(TEMPLATES if has_template else ())]


def check_copied(base: Path, adapters: list[Path]) -> None:
    """Refuse JSON that would be copied and holds what is none, and settings of writing that transformers cannot use.

    Raises:
        ConversionError, CheckpointError: the message names the file.
    """
    copied = [*travelling(base, *FROM_BASE), *(path for adapter in adapters for path in brought(adapter))]
    for path in copied:
        if path.suffix == ".json" and isinstance(load_json(path), (dict, list)):
            refuse_nan(path)
    for path in copied:
        if path.name == GENERATION_NAME and path.parent != base:
            generation_in(path.parent)


def has_statistics(adapter: Path) -> bool:
    """Whether an adapter was trained on data of its own, for which the base's statistics do not hold."""
    processor = read(adapter / PROCESSOR_CONFIG) if adapter / PROCESSOR_CONFIG in travelling(adapter, PROCESSOR) else {}
    return bool(processor.get("norm_stats")) or (adapter / STATISTICS_NAME).is_file()


def check_config_lies_here(folder: Path) -> None:
    """Refuse a config.json that is a link out of its folder: no output can be without one.

    Raises:
        ConversionError: it is one.
    """
    if leads_out(folder / "config.json"):
        raise ConversionError(f"{folder}/config.json is a link out of its folder; put the file itself there.")
