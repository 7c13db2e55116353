"""What lies beside the weights of a checkpoint of ours: configs, code, processor, tokenizer and card."""

from collections.abc import Callable, Iterable
from pathlib import Path

from transformers import GenerationConfig, PretrainedConfig

from ..modeling.generation_settings import generation_in, write_generation
from .family import Family
from .files.file_kinds import GENERATION_NAME, leads_out
from .model_card import write_card


def generation_of(folders: Iterable[Path], text_config: PretrainedConfig, pad_token_id: int | None) -> GenerationConfig:
    """The settings by which a checkpoint writes text: those of the first folder that has some, else what the config of
    its language model says; padding is that of the whole model.

    folders: of what it is made of, where a generation_config.json is looked for.

    Raises:
        CheckpointError: the file cannot be read.
    """
    found = (generation_in(folder) for folder in folders if not leads_out(folder / GENERATION_NAME))
    settings = next(filter(None, found), None) or GenerationConfig.from_model_config(text_config)
    settings.pad_token_id = pad_token_id
    return settings


def write_files(
    family: Family,
    config: PretrainedConfig,
    generation: GenerationConfig | None,
    save_processor: Callable[[Path], object],
    sources: dict[str, Path],
    folder: Path,
    report: dict,
) -> None:
    """Everything but the weights.

    Args:
        generation: see `generation_of`; `None` for a model that writes no text.
        save_processor: writes processor and tokenizer into a folder, where the config put the code of both.
        sources: folders by their role, whose model cards name their licences.
    """
    config.architectures = [family.model.__name__]
    config.save_pretrained(folder)
    if generation is not None:
        write_generation(folder, generation)
    save_processor(folder)
    write_card(folder, family.card, config, report, sources)
