"""What lies beside the weights of a checkpoint of ours: configs, code, processor, tokenizer and card."""

import shutil
from collections.abc import Callable
from pathlib import Path

from transformers import GenerationConfig, PretrainedConfig

from .family import Family
from .files.file_kinds import CONFIG, travelling
from .files.json_file import read_json
from .model_card import write_card

GENERATION = "generation_config.json"


def write_files(
    family: Family,
    config: PretrainedConfig,
    text_config: PretrainedConfig | None,
    save_processor: Callable[[Path], object],
    sources: dict[str, Path],
    folder: Path,
    report: dict,
) -> None:
    """Everything but the weights.

    Args:
        text_config: of the language model, which tells how it generates, unless the base is a checkpoint of this family
            and has said so itself; `None` for a model that writes no text.
        save_processor: writes processor, tokenizer and the code of both into a folder.
        sources: folders by their role, whose model cards name their licences.
    """
    config.architectures = [family.model.__name__]
    config.save_pretrained(folder)
    if (kept := generation_of_base(config, sources.get("base"))) is not None:
        shutil.copyfile(kept, folder / GENERATION)
    elif text_config is not None:
        generation = GenerationConfig.from_model_config(text_config)
        generation.pad_token_id = config.pad_token_id
        generation.save_pretrained(folder)
    save_processor(folder)
    write_card(folder, family.card, config, report, sources)


def generation_of_base(config: PretrainedConfig, base: Path | None) -> Path | None:
    """The file that says how a base of the same family generates: where what it was taught to write ends, above all."""
    if base is None or read_json([base], "config.json", required=True).get("model_type") != config.model_type:
        return None
    if read_json([base], GENERATION, required=False) is None:
        return None
    return next((path for path in travelling(base, CONFIG) if path.name == GENERATION), None)
