"""By which settings a model writes text, where it stops above all: `generation_config.json` of a model or of a run."""

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from ..configuration.checkpoint_json import read_mapping, reading_files

GENERATION = "generation_config.json"
OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


def end_tokens(eos_token_id: Any) -> list[int]:
    """The ids of an `eos_token_id` of transformers, which is one, several or none."""
    if eos_token_id is None:
        return []
    return [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id)


def stop_also_at(settings: GenerationConfig, tokens: list[int]) -> None:
    """Add tokens to those at which a model's `generate` stops."""
    known = end_tokens(settings.eos_token_id)
    if not set(tokens) <= set(known):
        settings.eos_token_id = list(dict.fromkeys([*known, *tokens]))


def savable(settings: GenerationConfig) -> GenerationConfig:
    """A copy that can be saved: some published ones have a temperature and yet do not sample; transformers reads it for
    nothing, and refuses to save it."""
    found = copy.deepcopy(settings)
    if not found.do_sample:
        for name in OF_SAMPLING:
            setattr(found, name, getattr(GenerationConfig(), name, None))
    return found


def read_generation(content: Mapping[str, Any], place: Any) -> GenerationConfig:
    """What a generation_config.json says, as it can be saved.

    place: of the file, for the error.

    Raises:
        CheckpointError: transformers cannot use it.
    """
    with reading_files(place, GENERATION):
        json.dumps(content, allow_nan=False)  # no file that is written holds one
        found = savable(GenerationConfig.from_dict(dict(content)))
        if any(type(token) is not int for token in end_tokens(found.eos_token_id)):
            raise ValueError(f"eos_token_id={found.eos_token_id!r} is no token, and no list of tokens")
        return found


def generation_in(folder: Path) -> GenerationConfig | None:
    """That of a folder, `None` where it has none; raises CheckpointError where it cannot be read."""
    path = folder / GENERATION
    return read_generation(read_mapping(path), folder) if path.is_file() else None


def apply_generation(model: PreTrainedModel, settings: GenerationConfig | None, adapter: str) -> None:
    """Put the settings of the run of an adapter into the model that it was loaded into. Where the model has other
    adapters it keeps theirs, and stops where the texts of this one end, too."""
    if settings is None or not model.can_generate():
        return
    if set(model.peft_config) - {adapter}:
        stop_also_at(model.generation_config, end_tokens(settings.eos_token_id))
    else:
        model.generation_config = settings


def write_generation(folder: str | os.PathLike, settings: GenerationConfig) -> None:
    """As it is: transformers' own save refuses what it reads, and a training would end there."""
    said = json.loads(settings.to_json_string())
    said.pop("compile_config", None)  # which transformers does not save
    Path(folder, GENERATION).write_text(json.dumps(said, indent=2, allow_nan=False) + "\n", encoding="utf-8")
