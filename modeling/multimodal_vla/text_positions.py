"""How the language model of a composed VLA counts its tokens, and what it multiplies them by."""

import torch
import transformers
from transformers import PretrainedConfig

from ...configuration.multimodal_vla.backbone_facts import POSITIONS_BEHIND_PADDING, SCALES_INPUTS
from ..input_checks import check_length


def scale_of_inputs(text_config: PretrainedConfig) -> float:
    """The factor that a language model puts on the embeddings that it is given."""
    scales = transformers.__version__.startswith("4.") and text_config.model_type in SCALES_INPUTS
    return text_config.hidden_size**0.5 if scales else 1.0


def first_position(text_config: PretrainedConfig) -> int:
    """The position of the first token that is not padding."""
    return text_config.pad_token_id + 1 if text_config.model_type in POSITIONS_BEHIND_PADDING else 0


def text_positions(real: torch.Tensor, first: int = 0) -> torch.LongTensor:
    """(batch, length): tokens that are not padding, counted; real: (batch, length) bool."""
    return (real.long().cumsum(dim=1) - 1).clamp(min=0) + first


def check_places(embeds: torch.Tensor, text_config: PretrainedConfig) -> None:
    """Refuse embeddings (batch, length, hidden_size) that the language model has no positions for.

    Raises:
        InputError: there are too many; the message says how many there may be.
    """
    limit = getattr(text_config, "max_position_embeddings", None)
    limit = None if limit is None else limit - first_position(text_config)
    check_length({"image, text and action": embeds.shape[1]}, limit)
