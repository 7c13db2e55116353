"""Tokenizer and processor of a LLaVA-3D checkpoint."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ...configuration.mapanything_llava3d.configuration_mapanything_llava3d import MapAnythingLlava3DConfig
from ...configuration.vla_errors import ConversionError
from ...processing.mapanything_llava3d.image_processing_mapanything_llava3d import MapAnythingLlava3DImageProcessor
from ...processing.mapanything_llava3d.image_prompt import add_image_token
from ...processing.mapanything_llava3d.processing_mapanything_llava3d import MapAnythingLlava3DProcessor
from ..files.tokenizer_files import check_tokenizer, load_fast_tokenizer, unreadable

IMAGE_TOKEN = "<image>"


def make_llava3d_processor(
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


def tokenizer_with_image_token(folders: list[Path]) -> PreTrainedTokenizerBase:
    """The tokenizer of the first folder that has one, with the image token in it.

    Raises:
        ConversionError: there is none, or only one that cannot be brought into the fast form here.
    """
    fast = next((folder for folder in folders if (folder / "tokenizer.json").exists()), None)
    slow = next((folder for folder in folders if (folder / "tokenizer.model").exists()), None)
    if fast is None and slow is None:
        where = " nor in ".join(str(folder) for folder in folders)
        raise ConversionError(
            f"no tokenizer.json is in {where}: pass --language DIR, the language model with its tokenizer, or "
            "--tokenizer DIR."
        )
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
