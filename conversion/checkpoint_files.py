"""What lies beside the weights of a checkpoint of ours: configs, code, processor, tokenizer and card."""

from collections.abc import Callable
from pathlib import Path

from transformers import GenerationConfig, PretrainedConfig

from .family import Family
from .model_card import write_card


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
        text_config: of the language model, which tells how it generates; `None` for a model that writes no text.
        save_processor: writes processor, tokenizer and the code of both into a folder.
        sources: folders by their role, whose model cards name their licences.
    """
    config.architectures = [family.model.__name__]
    config.save_pretrained(folder)
    if text_config is not None:
        generation = GenerationConfig.from_model_config(text_config)
        generation.pad_token_id = config.pad_token_id
        generation.save_pretrained(folder)
    save_processor(folder)
    write_card(folder, family.card, config, report, sources)
