"""What lies beside the weights of a LLaVA-3D checkpoint: configs, code, processor, tokenizer and card."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ...modeling.mapanything_llava3d.modeling_mapanything_llava3d import MapAnythingLlava3DForConditionalGeneration
from ...processing.mapanything_llava3d.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from ...processing.mapanything_llava3d.image_prompt import add_image_token
from ...processing.mapanything_llava3d.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from ..cogvla.openvla_plan import Collected
from ..cogvla.openvla_settings import Settings
from ..dataset_statistics import find_statistics
from ..files.tokenizer_loading import check_tokenizer, load_fast_tokenizer, unreadable
from ..tensors.plan import Fact
from .llava3d_card import write_llava3d_card
from .llava3d_sizes import shown

FAMILY = "mapanything_llava3d"
IMAGE_TOKEN = "<image>"
EMBEDDINGS = "language_model.model.model.embed_tokens.weight"


def make_processor(
    config: MapAnythingLlava3DConfig, tokenizer: PreTrainedTokenizerBase, **settings: Any
) -> MapAnythingLlava3DProcessor:
    """The processor of a model; settings: those of `MapAnythingLlava3DProcessor` that no config holds."""
    size = config.vision_config.image_size
    return MapAnythingLlava3DProcessor(
        MapAnythingLlava3DImageProcessor(
            {"height": size, "width": size}, config.vision_config.patch_size, pixel_range=config.pixel_range
        ),
        tokenizer,
        image_token=IMAGE_TOKEN,
        image_seq_length=config.num_image_tokens,
        norm_stats=config.norm_stats,
        view_names=config.view_names,
        normalization_type=config.normalization_type,
        state_dim=config.state_dim if config.use_state else None,
        **settings,
    )


def write_files(
    config: MapAnythingLlava3DConfig,
    processor: MapAnythingLlava3DProcessor,
    sources: dict[str, Path],
    folder: Path,
    report: dict,
) -> None:
    """Everything but the weights; sources: folders by their role, whose model cards name their licences."""
    config.architectures = [MapAnythingLlava3DForConditionalGeneration.__name__]
    config.save_pretrained(folder)
    generation = GenerationConfig.from_model_config(config.text_config)
    generation.pad_token_id = config.pad_token_id
    generation.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_llava3d_card(folder, config, report, sources)


def read_tokenizer(folders: list[Path]) -> PreTrainedTokenizerBase:
    """The tokenizer of the first folder that has one, with the image token in it.

    Raises:
        ConversionError: there is none, or only one that cannot be brought into the fast form here.
    """
    fast = next((folder for folder in folders if (folder / "tokenizer.json").exists()), None)
    slow = next((folder for folder in folders if (folder / "tokenizer.model").exists()), None)
    if fast is None and slow is None:
        where = " nor in ".join(str(folder) for folder in folders)
        raise ConversionError(f"no tokenizer.json is in {where}: pass --tokenizer DIR, that of the language model.")
    tokenizer = load_slow_tokenizer(slow) if fast is None else load_fast_tokenizer(fast)
    add_image_token(tokenizer, IMAGE_TOKEN)
    return tokenizer


def load_slow_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A tokenizer.model brought into the fast form."""
    check_tokenizer(folder)
    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # whatever its converter stumbles over
        raise ConversionError(
            f"{unreadable(folder, error)} Where there is only a tokenizer.model, install sentencepiece, or pass "
            "--tokenizer DIR with a tokenizer.json of the same vocabulary."
        ) from error


def choose_dtype(name: str, collected: Collected, facts: list[Fact]) -> torch.dtype:
    """`auto` is the dtype of the language model's embeddings."""
    if name != "auto":
        facts.append(Fact("dtype", name, "given (--dtype)"))
        return getattr(torch, name)
    dtype = collected.candidates[EMBEDDINGS].plain[-1].info.dtype
    facts.append(Fact("dtype", str(dtype).removeprefix("torch."), "read (embeddings)"))
    return dtype


def add_statistics(file: Path | None, folders: list[Path], settings: Settings) -> dict:
    """Statistics of the training data, `{}` where there are none; see `find_statistics`."""
    statistics, how = find_statistics(file, folders)
    settings.fields["norm_stats"] = statistics
    if statistics:
        settings.facts.append(Fact("norm_stats", sorted(statistics), how))
    return statistics


def described(config: MapAnythingLlava3DConfig) -> list[Fact]:
    """The parts of the model in a line each."""
    parts = {"vision_tower": config.vision_config, "language_model": config.text_config}
    if config.use_geometric_branch:
        parts["geometric_model"] = config.geometry_config
    if config.has_deep_fusion:
        parts["expert"] = config.expert_config
    if config.has_dit:
        parts["dit_action_head"] = config.dit_config
    return [Fact(name, shown(part), "from tensors and configs") for name, part in parts.items()]
